"""The journal's contract: acknowledged means durable, one effect per id, and a subject can be erased.

An entry is a decision, an event or a change of an item, and has an offset. Feedback is an event with a `decision_id`;
its decision comes before it. Where a user was erased an `Erased` stays: when the entry was, and nothing about whom.
What was dropped for its age leaves nothing; the learner's state that is saved with it stands for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

from honeyguide.data.item import Item
from honeyguide.errors import InvalidInput
from honeyguide.types import Decision, Event, State, Vectors, check_utc


@dataclass(frozen=True, slots=True, eq=False)
class ItemChange:
    """An item as it was put into the shop while it served, or that it was deleted: `item` is None then.

    `vector` (d,) is what the encoder of that version made of its text, so that nobody has to read it again.
    """

    change_id: str
    time: datetime
    item_id: str
    item: Item | None = None
    encoder: str = ""
    vector: Vectors | None = None

    def __post_init__(self) -> None:
        check_utc(self.time)
        if not self.change_id or not self.item_id:
            raise InvalidInput(
                f"change_id and item_id must not be empty, got {self.change_id!r}, {self.item_id!r}"
            )
        if self.item is not None and self.item.item_id != self.item_id:
            raise InvalidInput(f"a change of item {self.item_id!r} cannot put {self.item.item_id!r}")


Entry: TypeAlias = Decision | Event | ItemChange


@dataclass(frozen=True, slots=True)
class Erased:
    """What is left of an erased user's entry: its time, so that a fold's clock stays as it was."""

    time: datetime


@dataclass(frozen=True, slots=True)
class Record:
    """One entry where it stands; offsets start at 1, rise, and are never used twice."""

    offset: int
    entry: Entry | Erased


@dataclass(frozen=True, slots=True)
class Counts:
    """How many entries of each sort a journal holds."""

    decisions: int
    events: int
    erased: int
    items: int = 0
    """Changes of items."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """The receipt for an erased user: how much was removed; it names nobody."""

    decisions: int
    events: int


class Journal(Protocol):
    """Decisions, events and changes of items in the order in which they were acknowledged.

    A handle that was open while another one erased or dropped can append and look up; JournalChanged where it reads
    on or saves a state, for what its reader holds may include what is gone.
    """

    def append(self, entries: Sequence[Entry]) -> int:
        """Store all of them or none; durable on return; how many were new.

        An id that is already there is ignored where its content is equal. InvalidInput where it differs, where
        feedback names an item that was not shown or another user; UnknownDecision; JournalError.
        """
        ...

    def decision(self, decision_id: str) -> Decision:
        """The decision of this id; UnknownDecision."""
        ...

    def locate(self, decision_id: str) -> int:
        """The offset of the decision of this id; UnknownDecision."""
        ...

    def read(self, after: int = 0, limit: int | None = None, *, decisions: bool = True) -> list[Record]:
        """The records with an offset above `after`, in order, at most `limit` of them (None: all).

        Decisions, which are far larger than the others, can be left out.
        """
        ...

    def end(self) -> int:
        """The last offset that was given out; 0 where nothing was ever appended."""
        ...

    def counts(self) -> Counts:
        """How many entries there are."""
        ...

    def save_state(self, offset: int, state: State) -> None:
        """Keep a learner's state and the offset it stands at, both or neither, in place of the last."""
        ...

    def load_state(self) -> tuple[int, State] | None:
        """The offset and state that were saved last; None where there are none."""
        ...

    def erase(self, user_id: str, *, kept: tuple[int, State] | None = None) -> Erasure:
        """Remove everything of a user, and the saved state, which may hold what was learned from it.

        `kept`, an offset and the state there without this user, takes its place, all together or nothing.
        """
        ...

    def drop(self, before: datetime, *, kept: tuple[int, State]) -> Counts:
        """Remove decisions and events of before that time, as far as the offset of `kept`; how many there were.

        `kept` is that offset and the state of a learner there, which from now on stands for them; it takes the place
        of the saved state, all together or nothing. Feedback that is younger than its decision's age stays.
        """
        ...

    def close(self) -> None:
        """Let go of the files."""
        ...


def check_feedback(event: Event, decision: Decision) -> None:
    """InvalidInput unless `event` speaks of what `decision` showed, and of the user it was shown to."""
    if event.user_id != decision.user_id:
        raise InvalidInput(
            f"feedback {event.event_id!r} is by user {event.user_id!r}, but decision {decision.decision_id!r} "
            f"was made for {decision.user_id!r}: send it with that user_id, or without a decision_id"
        )
    if event.item_id not in decision.item_ids:
        raise InvalidInput(
            f"feedback {event.event_id!r} is on item {event.item_id!r}, which decision "
            f"{decision.decision_id!r} did not show: send it without a decision_id"
        )


def id_of(entry: Entry) -> str:
    """The id by which an entry counts once among the entries of its sort."""
    if isinstance(entry, Decision):
        return entry.decision_id
    return entry.change_id if isinstance(entry, ItemChange) else entry.event_id


def subject_of(entry: Entry) -> str | None:
    """The id of the user whom an entry is about; None where it is about an item."""
    return None if isinstance(entry, ItemChange) else entry.user_id


def check_limit(after: int, limit: int | None) -> None:
    """InvalidInput unless both say a place in the journal."""
    if after < 0 or (limit is not None and limit < 1):
        raise InvalidInput(f"after must be 0 or more and limit 1 or more, got {after} and {limit}")


def check_offset(offset: int, end: int) -> None:
    """InvalidInput unless a state can stand at `offset` in a journal that ends at `end`."""
    if not 0 <= offset <= end:
        raise InvalidInput(f"a state's offset must lie in 0..{end}, the journal's end, got {offset}")
