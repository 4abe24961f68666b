"""Vowpal Wabbit as a policy of a simulated shop: its configurations, and the process that answers."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import numpy as np

from honeyguide.types import Candidates, Decision, Floats, Rows, Vectors
from rivals.call import BENCHMARKS, ENVIRONMENTS, NoRival, RivalFailed, environment

Told = Sequence[tuple[str, Floats]]
"""What became known: (decision, (k,) rewards)."""

COSTS = "--cb_min_cost -1 --cb_max_cost 0"
RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
EXPLORERS: dict[str, tuple[tuple[str, ...], ...]] = {
    # an explorer is a choice of one word from each of these
    "greedy": (("--epsilon 0",),),
    "epsilon-greedy": (
        ("--epsilon 0.005", "--epsilon 0.01", "--epsilon 0.02", "--epsilon 0.05", "--epsilon 0.1"),
    ),
    "softmax": (
        ("--softmax",),
        ("--lambda 10", "--lambda 30", "--lambda 100", "--lambda 300", "--lambda 1000"),
    ),
    "bag": (("--bag 3", "--bag 5", "--bag 10"), ("", "--greedify"), ("--epsilon 0", "--epsilon 0.01")),
    "cover": (
        ("--cover 3", "--cover 5"),
        ("--psi 0.01", "--psi 0.1", "--psi 1"),
        ("--nounif", "--epsilon 0.01", "--epsilon 0.05"),
    ),
    "squarecb": (
        (f"--squarecb {COSTS}",),
        ("--gamma_scale 10", "--gamma_scale 100", "--gamma_scale 1000", "--gamma_scale 10000"),
        ("--gamma_exponent 0.25", "--gamma_exponent 0.5"),
        ("", "--elim"),
    ),
    "regcb": (
        (f"--regcb {COSTS}", f"--regcbopt {COSTS}"),
        ("--mellowness 0.1", "--mellowness 0.01", "--mellowness 0.001", "--mellowness 0.0001"),
    ),
    "rnd": (
        ("--rnd 1", "--rnd 3"),
        ("--rnd_alpha 0.01", "--rnd_alpha 0.1", "--rnd_alpha 0.5"),
        ("--rnd_invlambda 0.01", "--rnd_invlambda 0.1"),
        ("", "--epsilon 0.01"),
    ),
    "synthcover": (
        ("--synthcover",),
        ("--synthcoverpsi 0.01", "--synthcoverpsi 0.1"),
        ("", "--epsilon 0.01"),
    ),
    "ccb": (("--epsilon 0", "--epsilon 0.01", "--epsilon 0.05", "--softmax --lambda 100", "--bag 5"),),
}
ONLY_MTR = {"squarecb", "regcb"}
NO_DM = {"cover"}


@dataclass(frozen=True, slots=True)
class Learner:
    """How VW learns: its optimiser, and what it sees of the features that ours gets.

    `users` gives every user weights of their own (`-q uf`), `items` every item one. With `plain` what was drawn is
    learned as if it had been certain. The log of an earlier season is learned `passes` times.
    """

    rate: float = 0.5
    power_t: float = 0.5
    l2: float = 0.0
    cb_type: str = "mtr"
    optimiser: str = ""
    users: bool = True
    items: bool = False
    plain: bool = False
    passes: int = 1

    def arguments(self, explorer: str) -> str:
        """As VW takes them."""
        kind = "mtr" if explorer in ONLY_MTR or (explorer in NO_DM and self.cb_type == "dm") else self.cb_type
        seen = ("-q uf" if self.users else "--ignore u", "" if self.items else "--ignore n")
        learning = f"-l {self.rate:g} --power_t {self.power_t:g} --l2 {self.l2:g} {self.optimiser}"
        return " ".join([*seen, learning, f"--cb_type {kind}", "-b 20"])


@dataclass(frozen=True, slots=True)
class Configuration:
    """An explorer of VW with its settings, on top of a learner."""

    explorer: str
    settings: str
    learner: Learner

    @property
    def arguments(self) -> str:
        """VW's command line."""
        form = "--ccb_explore_adf" if self.explorer == "ccb" else "--cb_explore_adf"
        return " ".join(f"{form} {self.settings} {self.learner.arguments(self.explorer)}".split())


def some_learner(rng: np.random.Generator) -> Learner:
    """One of the learners that are tried."""
    return Learner(
        rate=float(rng.choice(RATES)),
        power_t=float(rng.choice([0.0, 0.5])),
        l2=float(rng.choice([0.0, 1e-6, 1e-4])),
        cb_type=str(rng.choice(["mtr", "mtr", "dr", "dm", "ips"])),
        optimiser=str(rng.choice(["", "", "", "--coin"])),
        users=bool(rng.integers(2)),
        items=bool(rng.integers(2)),
        plain=bool(rng.integers(2)),
        passes=int(rng.choice([1, 3])),
    )


def near(learner: Learner, rng: np.random.Generator) -> Learner:
    """A learner with two of its settings drawn anew."""
    other = some_learner(rng)
    changed = rng.permutation([each.name for each in fields(Learner)])[:2]
    return replace(learner, **{name: getattr(other, name) for name in changed.tolist()})


def some_settings(explorer: str, rng: np.random.Generator) -> str:
    """One of the settings that are tried of an explorer."""
    return " ".join(str(rng.choice(words)) for words in EXPLORERS[explorer] if words).strip()


@dataclass(eq=False)
class Wabbit:
    """A running VW; leave the context to end it. NoRival where its environment is missing."""

    configuration: Configuration
    _errors: Any = field(init=False)
    _process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        python = ENVIRONMENTS / "vw" / "bin" / "python"
        if not python.is_file():
            raise NoRival(f"the environment of vw is not built: {python} is not there. Run: make bench-setup")
        self._errors = tempfile.TemporaryFile()
        given = {
            "arguments": self.configuration.arguments,
            "conditional": self.configuration.explorer == "ccb",
            "plain": self.configuration.learner.plain,
        }
        sys.stdout.flush()
        self._process = subprocess.Popen(
            [str(python), "-m", "rivals.vw.serve", json.dumps(given)],
            cwd=BENCHMARKS,
            env=environment(1),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        self._errors.close()

    def begin(self, seed: int) -> None:
        """A new season."""
        self._ask({"do": "season", "seed": seed})

    def page(self, decision_id: str, candidates: Candidates, k: int, told: Told) -> Rows:
        """(k,) rows of the candidates, drawn after what became known was learned."""
        request = {
            "do": "page",
            "learn": [(name, rewards.tolist()) for name, rewards in told],
            "id": decision_id,
            "user": candidates.user_id,
            "items": candidates.item_ids,
            "k": k,
        }
        return np.array(self._ask(request, candidates.features)["chosen"], dtype=np.int64)

    def warm(self, log: Sequence[tuple[Decision, Floats]]) -> None:
        """Learn from the pages of an earlier season, with their propensities; seasons then begin with that."""
        for decision, rewards in list(log) * self.configuration.learner.passes:
            request = {
                "do": "logged",
                "user": decision.user_id,
                "items": decision.candidates.item_ids,
                "chosen": decision.chosen.tolist(),
                "chances": decision.propensities.tolist(),
                "rewards": rewards.tolist(),
            }
            self._say(request, decision.candidates.features)
        self._ask({"do": "warm"})

    def _ask(self, request: dict[str, Any], features: Vectors | None = None) -> dict[str, Any]:
        self._say(request, features)
        answer = self._process.stdout.readline() if self._process.stdout else b""
        if not answer:
            raise self._failed()
        found: dict[str, Any] = json.loads(answer)
        return found

    def _say(self, request: dict[str, Any], features: Vectors | None = None) -> None:
        numbers = b"" if features is None else np.ascontiguousarray(features, dtype=np.float32).tobytes()
        line = json.dumps({**request, "floats": len(numbers) // 4}).encode()
        if (stdin := self._process.stdin) is None:
            raise self._failed()
        try:
            stdin.write(line + b"\n" + numbers)
            stdin.flush()
        except BrokenPipeError:
            raise self._failed() from None

    def _failed(self) -> RivalFailed:
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace")[-500:]
        return RivalFailed(f"vw {self.configuration.arguments} ended. It said last:\n{said}")
