"""What is wanted of the sequence model beside telling what followed, and how much it counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from honeyguide.errors import InvalidInput
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.train.aims import (
    CALIBRATION,
    COVERAGE,
    EXPLOITATION,
    HELD_OUT,
    STRANGER,
    Interests,
    Standing,
    disproportion,
    uncovered,
)
from honeyguide.interests.train.balanced import BalancedModule
from honeyguide.interests.train.feed import SequenceFeed
from honeyguide.interests.train.going import Floor
from honeyguide.interests.train.learn import HeldOut, LearnedSequences, learn_sequences
from honeyguide.interests.train.module import SequenceModule
from honeyguide.interests.train.plan import Balance, Weighing
from honeyguide.interests.train.weighing import GRADIENT, WEIGHT, Weights
from honeyguide.plm.track import Tracker
from honeyguide.types import Progress, silent
from tests.test_sequence_model import CPU, ITEMS, SMALL, content, walks

WAYS: tuple[Weighing, ...] = ("fixed", "uncertainty", "gradnorm", "lagrangian")
OF = np.arange(ITEMS) % 4  # the interest of each item
ALONE = 33  # steps that SMALL learns alone


class Notes:
    """A tracker that remembers what it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, dict[str, float]]] = []

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Note the figures of a step."""
        self.heard.append((step, dict(figures)))

    def close(self) -> None:
        """Hold nothing back."""


def learned(
    folder: Path,
    balance: Balance | None,
    progress: Progress = silent,
    *,
    interests: bool = True,
    tracker: Tracker | None = None,
) -> LearnedSequences:
    sequences = walks()
    return learn_sequences(
        content(), ITEMS, sequences.without_last(1), HeldOut.last_of(sequences, ITEMS),
        replace(SMALL, balance=balance), place=CPU, folder=folder, interests=OF if interests else None,
        progress=progress, tracker=tracker,
    )  # fmt: skip


def balanced(balance: Balance) -> tuple[BalancedModule, dict[str, torch.Tensor]]:
    """A module that has learned nothing yet, and a batch."""
    sequences = walks()
    feed = SequenceFeed.of(sequences, ITEMS, longest=6, negatives=16, batch=16)
    torch.manual_seed(0)
    module = SequenceModule(content(), np.ones(ITEMS), SMALL, CPU.device)
    batch = {name: torch.from_numpy(array) for name, array in feed.batch(0).items()}
    return BalancedModule(module, Interests.in_log(OF, sequences), balance), batch


def test_a_catalogue_is_covered_where_everybody_is_sure_of_something_else() -> None:
    assert float(uncovered(torch.eye(8))) == pytest.approx(0.0, abs=1e-6)
    assert float(uncovered(torch.full((5, 8), 1 / 8))) == pytest.approx(0.0, abs=1e-6)
    assert float(uncovered(torch.eye(8)[[3, 3]])) == pytest.approx(np.log(8), rel=1e-6)
    half = torch.tensor(
        [[1.0, 0.0], [0.5, 0.5]]
    )  # 3/4 and 1/4: log 2 - H is log 2 + 3/4 log 3/4 + 1/4 log 1/4
    assert float(uncovered(half)) == pytest.approx(0.130812, rel=1e-5)


def test_what_is_foretold_in_proportion_to_the_past_is_not_apart_from_it() -> None:
    past = torch.tensor([[0.5, 0.5], [0.9, 0.1]])
    assert float(disproportion(past, past)) == pytest.approx(0.0, abs=1e-7)
    # all on the first of two that are had alike: 1/2 log(1/2 / 0.995) + 1/2 log(1/2 / 0.005)
    found = float(disproportion(torch.tensor([[1.0, 0.0]]), past[:1]))
    assert found == pytest.approx(0.5 * np.log(0.5 / 0.995) + 0.5 * np.log(0.5 / 0.005), rel=1e-5)


def test_the_past_at_each_place_is_that_of_the_history_until_there() -> None:
    tokens = np.array([0, 1, ITEMS, 5, 2])  # one is a search, which has no interest
    interests = Interests.in_log(OF, walks())
    found = interests.past(torch.from_numpy(tokens[None]))[0].numpy()
    for place in range(len(tokens) + 1):
        before = Sequences.of_items(tokens[:place], np.array([0, place]))
        assert found[place] == pytest.approx(interests.past_of(before)[0], rel=1e-5)
    counts = np.array([1, 2, 1, 0]) + STRANGER * interests.usual
    assert found[-1] == pytest.approx(counts / counts.sum(), rel=1e-5)
    assert found[0] == pytest.approx(interests.usual, rel=1e-5)


def test_every_item_needs_an_interest() -> None:
    with pytest.raises(InvalidInput, match="every item needs an interest"):
        Interests.in_log(np.array([0, -1]), walks())


def test_held_out_users_stand_as_the_losses_say_part_by_part() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(30, ITEMS)).astype(np.float32)
    sequences = walks(users=30)
    interests = Interests.in_log(OF, walks())
    assert len(interests.known) == ITEMS
    standing = Standing(interests)
    for users in np.split(np.arange(30), [7, 19]):
        standing.see(scores[users], sequences.of_users(users))
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    mean = chances.mean(axis=0)
    assert standing.figures()[HELD_OUT + COVERAGE] == pytest.approx(
        np.log(ITEMS) + (mean * np.log(mean)).sum(), rel=1e-4
    )
    shares = np.stack([chances[:, OF == one].sum(axis=1) for one in range(4)], axis=1)
    past = interests.past_of(sequences)
    apart = (past * np.log(past / (0.99 * shares + 0.01 * past))).sum(axis=1).mean()
    assert standing.figures()[HELD_OUT + CALIBRATION] == pytest.approx(apart, rel=1e-4)


def test_of_items_drawn_evenly_both_are_about_what_they_are_of_all() -> None:
    torch.manual_seed(0)
    logits = torch.randn(60, 1) * torch.randn(1, 4000) + torch.randn(4000)
    groups = torch.nn.functional.one_hot(torch.arange(4000) % 5).float()
    past = torch.full((60, 5), 0.2)
    whole = logits.softmax(1)
    found = []
    for _ in range(20):
        drawn = torch.randint(0, 4000, (1000,))
        chances = logits[:, drawn].softmax(1)
        found.append([float(uncovered(chances)), float(disproportion(chances @ groups[drawn], past))])
    assert np.mean(found, axis=0)[0] == pytest.approx(float(uncovered(whole)), rel=0.03)
    assert np.mean(found, axis=0)[1] == pytest.approx(float(disproportion(whole @ groups, past)), abs=0.02)


@pytest.mark.parametrize("way", WAYS)
def test_what_followed_is_told_to_the_bit_as_without_a_balance(way: Weighing) -> None:
    module, batch = balanced(Balance(way))
    torch.manual_seed(5)
    plain = module.module(**batch)
    torch.manual_seed(5)
    found = module(**batch)
    assert torch.equal(found[EXPLOITATION], plain)
    assert found[WEIGHT + EXPLOITATION].item() == 1.0
    wanted = plain + (found[COVERAGE] + found[CALIBRATION])
    assert found["loss"].item() == pytest.approx(wanted.item())


def test_without_a_balance_nothing_else_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = learned(tmp_path / "plain", None)

    def fail(*given: object) -> None:
        raise AssertionError(given)

    for name in ("BalancedModule", "Floor"):
        monkeypatch.setattr(f"honeyguide.interests.train.going.{name}", fail)
    monkeypatch.setattr("honeyguide.interests.train.learn.Interests", fail)
    again = learned(tmp_path / "again", None, interests=False)
    assert np.array_equal(again.network.vectors, plain.network.vectors)
    assert again.curve == plain.curve


def test_what_is_not_asked_for_is_left_out() -> None:
    module, batch = balanced(Balance(calibration=0.0))
    found = module(**batch)
    assert {COVERAGE, WEIGHT + COVERAGE} <= found.keys()
    assert CALIBRATION not in found


def test_gradients_are_measured_by_the_last_weights_that_are_shared() -> None:
    module, batch = balanced(Balance("gradnorm"))
    torch.manual_seed(5)
    found = module(**batch)
    for name in (EXPLOITATION, COVERAGE, CALIBRATION):
        module.zero_grad()
        found[name].backward(retain_graph=True)
        last = module.module.last.grad
        assert last is not None
        assert found[GRADIENT + name].item() == pytest.approx(float(last.norm()), rel=1e-4)


def heeded(way: Weighing, figures: list[dict[str, float]]) -> list[float]:
    """The weights of exploitation and coverage after these figures."""
    weights = Weights(Balance(way, coverage=0.5, calibration=0.0), CPU.device)
    for told in figures:
        weights.heed(told)
    return [float(one) for one in weights()]


def test_fixed_weights_are_those_asked_for() -> None:
    assert heeded("fixed", [{EXPLOITATION: 3.0, COVERAGE: 9.0}] * 50) == [1.0, 0.5]


def test_uncertainty_weighs_by_what_is_left_and_in_no_unit() -> None:
    first = {EXPLOITATION: 6.0, COVERAGE: 2.0}
    assert heeded("uncertainty", [first]) == pytest.approx([1.0, 0.5 * 6 / 2], rel=1e-5)
    later = {EXPLOITATION: 3.0, COVERAGE: 0.1}
    assert heeded("uncertainty", [first, *[later] * 1500]) == pytest.approx([1.0, 0.5 * 3 / 0.1], rel=1e-3)
    # where nothing is left of one it does not weigh infinitely much
    assert np.isfinite(heeded("uncertainty", [first, *[{EXPLOITATION: 3.0, COVERAGE: 0.0}] * 100])).all()


def test_gradnorm_makes_gradients_as_long_as_each_other_and_longer_where_more_is_left() -> None:
    def told(left: float) -> dict[str, float]:
        losses = {EXPLOITATION: 6.0, COVERAGE: 2.0 * left}
        return {**losses, GRADIENT + EXPLOITATION: 0.4, GRADIENT + COVERAGE: 0.01}

    even = heeded("gradnorm", [told(1.0)] * 1500)
    assert even == pytest.approx([1.0, 0.5 * 0.4 / 0.01], rel=1e-3)
    # half is left of one and all of the other: gradients as 1 to 2^-1.5
    slower = heeded("gradnorm", [told(1.0), *[told(0.5)] * 1500])
    assert slower[1] == pytest.approx(even[1] * 0.5**1.5, rel=1e-3)


def test_the_multiplier_rises_while_less_is_spent_than_may_be_and_falls_while_more_is() -> None:
    def after(*spent: float) -> float:
        weights = Weights(Balance("lagrangian", coverage=1.0, calibration=0.0), CPU.device)
        for one in spent:
            weights.dual(one)
        assert float(weights()[0]) == 1.0
        return float(weights()[1])

    assert after(1.0) == pytest.approx(1.0)
    assert after(0.0) > 1.0 > after(1.5) > after(2.0)
    assert after(0.0, 2.0) == pytest.approx(1.0)
    assert after(-3.0) == after(0.0)  # one lucky look moves it no further than one that spends nothing


def test_below_the_floor_nothing_is_better_than_what_was_learned_alone() -> None:
    def figures(ndcg: float, coverage: float) -> dict[str, float]:
        return {"ndcg": ndcg, HELD_OUT + COVERAGE: coverage, HELD_OUT + CALIBRATION: 0.5}

    balance = Balance("lagrangian", coverage=2.0, calibration=1.0, epsilon=0.1)
    floor = Floor(figures(0.2, 1.0), balance, Weights(balance, CPU.device))
    assert floor.start == pytest.approx(2.5)
    within, below = floor.look(figures(0.181, 0.4)), floor.look(figures(0.179, 0.0))
    assert next(iter(within)) == "unmet"  # the first figure says what is best
    assert within["unmet"] == pytest.approx(1.3)
    assert within["spent"] == pytest.approx(0.95)
    assert below["unmet"] > floor.start


def test_where_all_would_be_lost_it_stays_to_the_bit_at_what_was_learned_alone(tmp_path: Path) -> None:
    plain = learned(tmp_path / "plain", None)
    notes = Notes()
    balance = Balance("lagrangian", coverage=1e4, calibration=0.0, epsilon=0.01)
    found = learned(tmp_path / "floor", balance, tracker=notes)
    assert np.array_equal(found.network.vectors, plain.network.vectors)
    assert found.best_epoch == plain.best_epoch
    told = [{name: figures[name] for name in ("train", "ndcg")} for _, figures in found.curve]
    assert told[: len(plain.curve)] == [
        {name: figures[name] for name in ("train", "ndcg")} for _, figures in plain.curve
    ]
    assert [figures[WEIGHT + COVERAGE] for _, figures in found.curve[: len(plain.curve)]] == [0.0] * 3
    assert found.curve[-1][1][WEIGHT + COVERAGE] < 1e4  # too much was lost, and so it fell
    # one row of steps, with losses and weights once there are any
    assert [step for step, _ in notes.heard] == list(range(1, len(notes.heard) + 1))
    assert {COVERAGE, WEIGHT + COVERAGE} <= notes.heard[ALONE][1].keys()
    assert COVERAGE not in notes.heard[ALONE - 1][1]


def test_what_is_wanted_is_had(tmp_path: Path) -> None:
    plain = learned(tmp_path / "none", Balance(coverage=1e-9, calibration=1e-9))
    for name, balance in (
        (COVERAGE, Balance(coverage=2.0, calibration=0.0)),
        (CALIBRATION, Balance(coverage=0.0, calibration=2.0)),
    ):
        found = learned(tmp_path / name, balance)
        at = HELD_OUT + name
        assert found.curve[-1][1][at] < 0.9 * plain.curve[-1][1][at]


@pytest.mark.parametrize(
    ("way", "at"), [("uncertainty", 13), ("gradnorm", 13), ("lagrangian", 13), ("lagrangian", ALONE + 9)]
)
def test_an_interrupted_training_ends_at_the_same_network_and_weights(
    tmp_path: Path, way: Weighing, at: int
) -> None:
    balance = Balance(way, epsilon=0.9)
    whole = learned(tmp_path / "whole", balance)
    with pytest.raises(KeyboardInterrupt):
        learned(tmp_path / "cut", balance, stopped_after(at))
    again = learned(tmp_path / "cut", balance)
    assert np.array_equal(again.network.vectors, whole.network.vectors)
    assert again.curve == whole.curve
    moved = {figures[WEIGHT + COVERAGE] for _, figures in whole.curve}
    assert len(moved) > 1


def stopped_after(steps: int) -> Callable[[int, int], None]:
    left = iter(range(steps))

    def stop(done: int, total: int) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    return stop


def test_bad_balances_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="leave the balance out"):
        Balance(coverage=0.0, calibration=0.0)
    with pytest.raises(InvalidInput, match="at least 0"):
        Balance(coverage=-0.1)
    with pytest.raises(InvalidInput, match="epsilon"):
        Balance(epsilon=1.1)
    with pytest.raises(InvalidInput, match="weights must be fixed"):
        Balance("guessed")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="interests of all 40 items"):
        learned(tmp_path, Balance(), interests=False)
    plan = replace(SMALL, balance=Balance("lagrangian"))
    with pytest.raises(InvalidInput, match="users held out"):
        learn_sequences(content(), ITEMS, walks(), None, plan, place=CPU, folder=tmp_path, interests=OF)
