"""The same logs to obp and to us: the Open Bandit sample, and whole pages that are simulated."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import duckdb
import numpy as np

from honeyguide.evaluate import ope
from honeyguide.evaluate.ope.model import Lesson, Predict
from honeyguide.evaluate.ope.placing import chance_of_place
from honeyguide.explore.baselines import Uniform
from honeyguide.types import Candidates, Decision, Floats, Plan, Rows, State
from ope_worlds import SHORT
from rivals.call import BENCHMARKS, ENVIRONMENTS, NoRival, RivalFailed, environment

TIME = datetime(2019, 11, 24, tzinfo=UTC)
MOST, SHRINK, SLOTS = 5.0, 20.0, 3
ASKED: dict[str, Any] = {"min_effective_n": 1e-12, "min_mean_weight": 0.0}


@dataclass(frozen=True)
class Beside:
    """One estimator's value on one log, ours and obp's."""

    log: str
    estimator: str
    ours: float
    theirs: float

    @property
    def difference(self) -> float:
        """How far they are apart."""
        return abs(self.ours - self.theirs)


class Tabled(Uniform):
    """Shows each item as often as a table says for the position, which stands in feature 1."""

    name = "tabled"

    def __init__(self, table: Floats) -> None:
        self.table = table  # (positions, items)

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        """(n,)."""
        return np.asarray(self.table[int(candidates.features[0, 1])])

    def state(self) -> State:
        """The table."""
        return {"table": self.table}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The same table."""
        return cls(state["table"])


class Given:
    """A reward model that has nothing to learn: the predictions that both sides get."""

    def __init__(self, weights: Floats) -> None:
        self.weights = weights

    def fit(self, lesson: Lesson) -> Predict:
        """The same whatever is taught."""
        return lambda features, k: np.tile(features[:, 1:] @ self.weights, (k, 1))


@dataclass(frozen=True, eq=False)
class Rounds:
    """(n,) actions, positions, clicks and propensities, and (n, items) each item's affinity to the user."""

    action: Rows
    position: Rows
    reward: Floats
    pscore: Floats
    affinity: Floats

    @classmethod
    def read(cls, file: Path, *, limit: int = 10_000) -> Rounds:
        """The first rows of one file of the sample."""
        table = duckdb.sql(f"SELECT * FROM '{file}' LIMIT {limit}").fetchnumpy()
        affinity = [table[f"user-item_affinity_{item}"] for item in range(_items(table))]
        return cls(
            table["item_id"].astype(np.int64),
            table["position"].astype(np.int64) - 1,
            table["click"].astype(np.float64),
            table["propensity_score"].astype(np.float64),
            np.stack(affinity, axis=1).astype(np.float64),
        )

    def shares(self) -> Floats:
        """(positions, items): how often each item was shown there, each counted once more than it was."""
        counts = np.ones((SLOTS, self.affinity.shape[1]))
        np.add.at(counts, (self.position, self.action), 1)
        return np.asarray(counts / counts.sum(axis=1, keepdims=True))

    def decisions(self) -> list[Decision]:
        """Pages of one slot; the sample does not say what else could be shown how often, so it is spread evenly."""
        n = self.affinity.shape[1]
        return [
            Decision(
                decision_id=f"{row:06}",
                time=TIME,
                user_id=f"{row:06}",
                surface="zozo",
                candidates=Candidates("somebody", _NAMES[:n], self._features(row)),
                plan=Plan(0.0, "logged", np.zeros(n)),
                pmf=_spread(n, int(self.action[row]), float(self.pscore[row])),
                chosen=self.action[row : row + 1],
                propensities=self.pscore[row : row + 1],
                policy="logged",
                policy_version="0",
                model_version="0",
                why=("",),
                page_size=1,
            )
            for row in range(len(self.reward))
        ]

    def _features(self, row: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        n = self.affinity.shape[1]
        position = np.full(n, self.position[row])
        return np.stack([self.affinity[row], position], axis=1).astype(np.float32)


_NAMES = tuple(f"item-{row}" for row in range(200))


def beside_obp(data: Path) -> list[Beside]:
    """Every estimator that both have, on four logs of the sample and on whole pages."""
    found: list[Beside] = []
    for campaign in ("men", "women"):
        random, bts = (
            Rounds.read(data / "open_bandit" / f"{policy}_{campaign}.parquet") for policy in ("random", "bts")
        )
        n = random.affinity.shape[1]
        found += compare(f"{campaign}: random, as bts", random, bts.shares())
        found += compare(f"{campaign}: bts, as random", bts, np.full((SLOTS, n), 1 / n))
    return list({(line.log, line.estimator): line for line in found}.values())


def compare(name: str, rounds: Rounds, table: Floats) -> list[Beside]:
    """All that both have on one log, for a target that shows items as often as `table` (positions, items) says."""
    model = Given(np.array([0.003, 0.0007]))
    made: dict[str, ope.OffPolicy] = {
        "IPS": ope.IPS(**ASKED),
        "IPS clipped": ope.IPS(clip=MOST, **ASKED),
        "SNIPS": ope.SNIPS(**ASKED),
        "DM": ope.DM(model=model, **ASKED),
        "DR": ope.DR(model=model, **ASKED),
        "SNDR": ope.SNDR(model=model, **ASKED),
        "SwitchDR": ope.SwitchDR(model=model, most=MOST, **ASKED),
        "DRos": ope.DRos(model=model, shrink=SHRINK, **ASKED),
    }
    target, decisions = Tabled(table), rounds.decisions()
    rewards = list(rounds.reward[:, None])
    answers = [ope.ask(decision, target) for decision in decisions]
    features = [decision.candidates.features.astype(np.float64) for decision in decisions]
    pages = _pages()
    theirs = _obp(
        {
            "reward": rounds.reward,
            "action": rounds.action,
            "pscore": rounds.pscore,
            "action_dist": table[rounds.position],
            "q_hat": np.stack([one @ model.weights for one in features]),
            "most": np.array(MOST),
            "shrink": np.array(SHRINK),
            **pages[1],
        }
    )
    ours = {name: one.judge(decisions, rewards, answers).value for name, one in made.items()} | pages[0]
    if (
        rounds.pscore == 1 / table.shape[1]
    ).all():  # obp replays what is certain, on rounds that were drawn evenly
        certain = Tabled(np.eye(table.shape[1])[table.argmax(axis=1)])
        ours["Replay"] = ope.RejectionReplay(least_kept=2).estimate(decisions, rewards, certain).value
    return [
        Beside(SHORT.name if estimator in pages[0] else name, estimator, ours[estimator], value)
        for estimator, value in theirs.items()
        if estimator in ours
    ]


def _pages() -> tuple[dict[str, float], dict[str, Floats | Rows]]:
    """(our values, what obp needs) of simulated pages of three slots."""
    decisions, rewards = SHORT.log(0)
    answers = [ope.ask(decision, SHORT.target) for decision in decisions]
    ours = {
        "pages: IPS": ope.IPS(**ASKED).judge(decisions, rewards, answers).value,
        "pages: IIPS": ope.IIPS(**ASKED).judge(decisions, rewards, answers).value,
    }
    k = SHORT.k
    given: dict[str, Floats | Rows] = {
        "slots": np.array(k),
        "slate_id": np.repeat(np.arange(len(decisions)), k),
        "position": np.tile(np.arange(k), len(decisions)),
        "slate_reward": np.concatenate(rewards),
        "logged_from_top": np.concatenate([np.cumprod(one.propensities) for one in decisions]),
        "target_from_top": np.concatenate(
            [
                np.cumprod(answer.given[np.arange(k), one.chosen])
                for one, answer in zip(decisions, answers, strict=True)
            ]
        ),
        "logged_each": np.concatenate([chance_of_place(one) for one in decisions]),
        "target_each": np.concatenate(
            [answer.placed[np.arange(k), one.chosen] for one, answer in zip(decisions, answers, strict=True)]
        ),
    }
    return ours, given


def _obp(given: Mapping[str, Floats | Rows]) -> dict[str, float]:
    python = ENVIRONMENTS / "obp" / "bin" / "python"
    if not python.is_file():
        raise NoRival(f"the environment of obp is not built: {python} is not there. Run: make bench-setup")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "rounds.npz", Path(folder) / "values.json"
        np.savez(source, **given)  # type: ignore[arg-type]
        command = [str(python), "-m", "rivals.obp.estimate", str(source), str(target)]
        done = subprocess.run(
            command, cwd=BENCHMARKS, env=environment(1), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RivalFailed(f"obp ended with {done.returncode}. It said last:\n{done.stderr[-500:]}")
        found: dict[str, float] = json.loads(target.read_text())
    return found


def _items(table: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]) -> int:
    return sum(name.startswith("user-item_affinity_") for name in table)


def _spread(n: int, shown: int, chance: float) -> Floats:
    pmf = np.full(n, (1 - chance) / (n - 1))
    pmf[shown] = chance
    return pmf
