"""Bytes say exactly what the entry said, and never more than they can vouch for."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from honeyguide.checks.journal import same_entry, sample_decision, sample_entries
from honeyguide.checks.policy import equal_states
from honeyguide.data.item import Item
from honeyguide.errors import InvalidInput, JournalError
from honeyguide.journal.codec import (
    DECISION,
    EVENT,
    STATE,
    decode,
    decode_state,
    encode,
    encode_state,
    from_us,
    same_content,
    to_us,
)
from honeyguide.journal.protocol import ItemChange
from honeyguide.types import EVENT_KINDS, Candidates, Decision, Event, Vectors

BLOB = encode(sample_decision(0))
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
NAME = TEXT.filter(bool)
TIME = st.datetimes(timezones=st.just(UTC))
FLOAT = st.floats(allow_nan=False, allow_infinity=False)
WHOLE = st.integers(-(2**63), 2**63 - 1)


@given(TIME)
def test_a_time_is_kept_to_the_microsecond(time: datetime) -> None:
    assert from_us(to_us(time)) == time
    assert to_us(time + timedelta(microseconds=1)) == to_us(time) + 1 or time == datetime.max


@given(
    st.builds(
        Event, NAME, TIME, NAME, st.sampled_from(EVENT_KINDS), TEXT, st.none() | TEXT, st.none() | FLOAT,
        st.none() | TEXT, st.none() | TEXT, st.none() | WHOLE,
    )
)  # fmt: skip
def test_events_come_back(event: Event) -> None:
    assert decode(encode(event)) == event


@given(
    st.builds(Item, NAME, TEXT, TEXT, TEXT, TEXT, st.none() | st.floats(0, 1e9), created_at=st.none() | TIME),
    TIME,
    st.none() | arrays(np.float32, 3, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)),
)
def test_changes_of_items_come_back(item: Item, time: datetime, vector: Vectors | None) -> None:
    for change in (
        ItemChange("1", time, item.item_id, item, "encoder", vector),
        ItemChange("2", time, item.item_id),
    ):
        assert same_entry(decode(encode(change)), change)


@settings(max_examples=50)
@given(
    features=arrays(np.float32, (9, 3), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)),
    scores=arrays(np.float64, 9),
    remaining_visits=st.floats(allow_nan=False),
    surface=TEXT,
    time=TIME,
)
def test_decisions_come_back_to_the_bit(
    features: np.ndarray, scores: np.ndarray, remaining_visits: float, surface: str, time: datetime
) -> None:
    base = sample_decision(0)
    decision = replace(
        base,
        candidates=Candidates("ann", base.candidates.item_ids, features, remaining_visits),
        plan=replace(base.plan, scores=scores),
        surface=surface,
        time=time,
    )
    assert same_entry(decode(encode(decision)), decision)


def test_a_part_of_a_page_and_candidates_without_features_come_back() -> None:
    part = sample_decision(0).only([2])
    bare = replace(part, candidates=replace(part.candidates, features=np.zeros((9, 0), dtype=np.float32)))
    for decision in (part, bare, part.only([])):
        assert same_entry(decode(encode(decision)), decision)


def test_pins_and_what_is_told_of_candidates_come_back() -> None:
    base = sample_decision(0)
    grouped = replace(
        base.candidates,
        groups=np.array([3, 0, 2**40, 0, 1, 1, 0, 5, 7]),
        fresh=np.arange(9) % 2 == 0,
        leads=np.linspace(0.1, 3, 9),
    )
    pins = ((0, int(base.chosen[0])), (2, int(base.chosen[2])))
    decision = replace(base, candidates=grouped, pins=pins, propensities=np.array([1.0, 0.25, 1.0]))
    found = decode(encode(decision))
    assert same_entry(found, decision)
    assert isinstance(found, Decision)
    assert found.pinned.tolist() == [True, False, True]
    assert found.candidates.fresh is not None
    assert found.candidates.leads is not None
    assert found.candidates.fresh.dtype == np.bool_
    assert found.candidates.leads.dtype == np.float64


def test_the_chance_of_a_level_that_was_drawn_comes_back() -> None:
    base = sample_decision(0)
    decision = replace(base, plan=replace(base.plan, chance=1 / 3))
    found = decode(encode(decision))
    assert same_entry(found, decision)
    assert isinstance(found, Decision)
    assert found.plan.chance == 1 / 3


def test_a_decision_from_before_there_was_what_may_be_left_out_is_still_read() -> None:
    old = sample_decision(0)
    assert (old.candidates.groups, old.candidates.fresh, old.candidates.leads) == (None, None, None)
    assert (old.pins, old.plan.chance, old.slots) == ((), None, None)
    fields = msgspec.msgpack.decode(BLOB[6:])
    assert fields[-6:] == [None, [], None, None, None, None]
    for written in (1, 3, 4, 6):
        blob = sealed(DECISION, msgspec.msgpack.encode(fields[:-written]))
        assert same_entry(decode(blob), old)
        assert same_content(blob, encode(old))


def test_what_stands_on_a_page_that_is_being_filled_is_not_written_down() -> None:
    base = sample_decision(0)
    shown = base.candidates.take(range(9), shown=base.candidates.features[:1])
    for candidates in (shown, replace(base.candidates, penalty=np.zeros(9))):
        with pytest.raises(InvalidInput, match="before the first slot"):
            encode(replace(base, candidates=candidates))


def test_a_decision_is_little_bigger_than_its_arrays() -> None:
    n, d = 100, 27
    base = sample_decision(0)
    candidates = Candidates("ann", tuple(f"item-{i}" for i in range(n)), np.ones((n, d), dtype=np.float32))
    decision = replace(
        base, candidates=candidates, plan=replace(base.plan, scores=np.ones(n)), pmf=np.full(n, 1 / n)
    )
    assert len(encode(decision)) < 4 * n * d + 2 * 8 * n + 1500


def test_equal_content_is_recognised_in_any_form() -> None:
    whole: Any = np.int64(2)
    event = Event("e", datetime(2026, 1, 1, tzinfo=UTC), "ann", "rating", "item", value=3, position=whole)
    assert same_content(encode(event), encode(replace(event, value=3.0, position=2)))
    assert not same_content(encode(event), encode(replace(event, value=3.5)))


def test_damage_anywhere_is_noticed() -> None:
    blobs = [encode(entry) for entry in sample_entries()]
    for blob, place in ((one, i) for one in blobs for i in range(0, min(40, len(one)), 3)):
        bad = bytearray(blob)
        bad[place] ^= 0x10
        with pytest.raises(JournalError):
            decode(bytes(bad))
    for cut in (0, 3, 6, len(BLOB) - 1):
        with pytest.raises(JournalError, match="damaged"):
            decode(BLOB[:cut])


def test_a_newer_format_is_refused() -> None:
    with pytest.raises(JournalError, match="Upgrade"):
        decode(b"\x02" + BLOB[1:])


def sealed(kind: int, body: bytes) -> bytes:
    return bytes([1, kind]) + crc32(body).to_bytes(4, "little") + body


@pytest.mark.parametrize(
    "blob", [sealed(EVENT, b"\xc1"), sealed(EVENT, b"\x90"), sealed(DECISION, b"\x90"), sealed(9, b"")]
)
def test_sound_bytes_that_say_nothing_sensible_are_refused(blob: bytes) -> None:
    with pytest.raises(JournalError):
        decode(blob)


def test_a_state_comes_back_and_a_damaged_one_does_not() -> None:
    state = {
        "a": np.arange(6).reshape(2, 3).T,
        "b": np.array([True]),
        "c": np.zeros((0, 4)),
        "d": np.array(3),
    }
    assert equal_states(decode_state(encode_state(state)), state)
    for bad in (BLOB, encode_state(state)[:-1], sealed(STATE, b"????????x")):
        with pytest.raises(JournalError):
            decode_state(bad)


def single_precision(decision: Decision) -> Decision:
    return replace(decision, pmf=decision.pmf.astype(np.float32))


def foreign_candidates(decision: Decision) -> Decision:
    return replace(decision, candidates=replace(decision.candidates, user_id="bob"))


def half_a_character(decision: Decision) -> Decision:
    return replace(decision, surface="\ud800")


@pytest.mark.parametrize("spoil", [single_precision, foreign_candidates, half_a_character])
def test_what_cannot_be_written_exactly_is_refused(spoil: Callable[[Decision], Decision]) -> None:
    with pytest.raises(InvalidInput):
        encode(spoil(sample_decision(0)))


def test_a_number_beyond_64_bits_is_refused() -> None:
    event = Event("e", datetime(2026, 1, 1, tzinfo=UTC), "ann", "view", "item", position=2**70)
    with pytest.raises(InvalidInput, match="'e'"):
        encode(event)
