from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from honeyguide.data.labels.negatives import Proposal, item_counts, sample_negatives
from honeyguide.data.labels.rewards import rewards
from honeyguide.data.table import EventTable
from honeyguide.errors import InvalidInput
from tests.label_tables import N_ITEMS, Entry, entries, grade, make_table


def known_by(log: EventTable, event: np.int64) -> set[int]:
    """What the event's user had to do with up to and at that moment, but for being shown it."""
    return {
        item
        for user, item, time, kind in zip(log.user, log.item, log.time_us, log.kind, strict=True)
        if user == log.user[event] and time <= log.time_us[event] and item >= 0 and kind != 7
    }


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=50), st.sampled_from([0.0, 0.75, 1.0]))
def test_a_proposal_is_popularity_to_a_power(counts: list[int], alpha: float) -> None:
    assume(any(counts))
    q = np.exp(Proposal.of(np.array(counts), alpha=alpha).log_q)
    wanted = np.array([count**alpha if count else 0.0 for count in counts])
    np.testing.assert_allclose(q, wanted / wanted.sum(), rtol=1e-9, atol=1e-12)
    assert ((q > 0) == (np.array(counts) > 0)).all()


@given(entries)
def test_counts_leave_out_what_was_only_shown_or_waved_away(rows: list[Entry]) -> None:
    wanted = Counter(
        item for _, _, item, kind, _ in rows if item >= 0 and kind not in ("impression", "dismiss")
    )
    assert item_counts(make_table(rows), N_ITEMS).tolist() == [wanted[item] for item in range(N_ITEMS)]


@settings(deadline=None)
@given(
    entries,
    st.lists(st.integers(0, 20), min_size=N_ITEMS, max_size=N_ITEMS),
    st.sampled_from([0.75, 1.0]),
    st.integers(0, 2**32 - 1),
)
def test_nothing_known_is_drawn_and_the_odds_are_those_of_the_rest(
    rows: list[Entry], counts: list[int], alpha: float, seed: int
) -> None:
    assume(any(counts))
    log = make_table(rows)
    positives = np.flatnonzero(rewards(log, grade=grade) > 0)
    proposal = Proposal.of(np.array(counts), alpha=alpha)
    found = sample_negatives(log, positives, proposal, k=3, rng=np.random.default_rng(seed))
    assert found.item.shape == found.log_q.shape == (len(positives), 3)
    for row, event in enumerate(positives):
        free = {i: c**alpha for i, c in enumerate(counts) if c and i not in known_by(log, event)}
        if not free:
            assert found.item[row].tolist() == [-1] * 3
            assert np.isnan(found.log_q[row]).all()
            continue
        for item, log_q in zip(found.item[row].tolist(), found.log_q[row].tolist(), strict=True):
            assert log_q == pytest.approx(np.log(free[item] / sum(free.values())), abs=1e-9)


@pytest.mark.parametrize("counts", [[8, 8, 4, 2, 1], [1000, 8, 4, 2, 1]], ids=["rejecting", "from the rest"])
def test_items_come_as_often_as_their_odds_say(counts: list[int]) -> None:
    """4,000 draws; 99.99 % of chi-square with 3 degrees of freedom lie below 21.1."""
    log = make_table([(0, 0, 0, "purchase", None)])
    proposal = Proposal.of(np.array(counts))
    found = sample_negatives(log, np.array([0]), proposal, k=4000, rng=np.random.default_rng(3))
    seen = np.bincount(found.item[0], minlength=5)
    share = np.array([0, *counts[1:]]) ** 0.75
    wanted = 4000 * share / share.sum()
    assert seen[0] == 0
    assert ((seen[1:] - wanted[1:]) ** 2 / wanted[1:]).sum() < 21.1


def test_the_corrected_softmax_has_the_full_ones_sum_as_its_expectation() -> None:
    """Of 20,000 draws the mean of exp(score - log_q) is within 5 standard errors of the sum over what is unknown."""
    log = make_table([(0, 0, 0, "view", None), (1, 0, 1, "purchase", None)])
    score = np.array([5.0, 4.0, 0.3, -0.5, 1.2])
    proposal = Proposal.of(np.array([50, 40, 30, 5, 1]))
    found = sample_negatives(log, np.array([1]), proposal, k=20_000, rng=np.random.default_rng(4))
    terms = np.exp(score[found.item[0]] - found.log_q[0])
    error = terms.std() / np.sqrt(len(terms))
    assert abs(terms.mean() - np.exp(score[2:]).sum()) < 5 * error


def test_what_is_taken_later_is_drawn_like_anything_else() -> None:
    log = make_table([(0, 0, 0, "purchase", None), (5, 0, 1, "purchase", None)])
    proposal = Proposal.of(np.ones(2))
    first = sample_negatives(log, np.array([0]), proposal, k=4, rng=np.random.default_rng(0))
    assert first.item.tolist() == [[1, 1, 1, 1]]
    assert first.log_q.tolist() == [[0.0] * 4]
    second = sample_negatives(log, np.array([1]), proposal, k=4, rng=np.random.default_rng(0))
    assert second.item.tolist() == [[-1] * 4]


def test_a_log_of_impressions_alone_makes_nothing_known() -> None:
    log = make_table([(0, 0, 0, "impression", None)])
    found = sample_negatives(
        log, np.array([0]), Proposal.of(np.array([1])), k=2, rng=np.random.default_rng(0)
    )
    assert found.item.tolist() == [[0, 0]]


def test_the_generator_is_all_the_randomness() -> None:
    log = make_table([(day, 0, day % 5, "purchase", None) for day in range(9)])
    proposal = Proposal.of(np.arange(1, 60))
    rows = np.arange(9)
    first, again, other = (
        sample_negatives(log, rows, proposal, k=5, rng=np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first.item, again.item)
    assert not np.array_equal(first.item, other.item)


def test_what_makes_no_sense_is_refused() -> None:
    log, rng = make_table([(0, 0, 4, "view", None)]), np.random.default_rng(0)
    for counts in ([0, 0], [], [-1, 2], [np.nan], [np.inf]):
        with pytest.raises(InvalidInput, match="counts must be"):
            Proposal.of(np.array(counts))
    for alpha in (-0.1, np.nan, np.inf):
        with pytest.raises(InvalidInput, match="alpha"):
            Proposal.of(np.ones(2), alpha=alpha)
    with pytest.raises(InvalidInput, match="k must"):
        sample_negatives(log, np.array([0]), Proposal.of(np.ones(5)), k=0, rng=rng)
    with pytest.raises(InvalidInput, match="count them all"):
        sample_negatives(log, np.array([0]), Proposal.of(np.ones(4)), k=1, rng=rng)
