"""What was given back was not bought.

A refund is a purchase of negative value or quantity. It cancels the latest purchase before it, of the same user and
item, that still stands: one of the same amount where there is one. A refund of fewer pieces than were bought reduces
the purchase; one of more goes on to the purchase before. Where quantities are not told a refund takes back the
whole purchase.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import isclose
from typing import Any, Literal

from honeyguide.data.cleaning.log import Log
from honeyguide.data.cleaning.report import RuleCount

Fate = Literal["refund", "refunded_purchase", "unmatched_refund", "partly_refunded"]

_REASONS: dict[Fate, str] = {
    "refund": "given back: it cancels a purchase before it",
    "refunded_purchase": "bought and given back: not what the user wanted",
    "unmatched_refund": "given back, but no purchase before it is known that it could cancel",
    "partly_refunded": "a part of it was given back: its quantity and value are what stayed with the user",
}
_BATCH = 10_000


@dataclass(slots=True)
class Purchase:
    """A purchase (or a refund: a negative value or quantity) while it is matched; `row` is its place in the log."""

    row: int
    event_id: str
    value: float | None
    quantity: float | None

    @property
    def is_refund(self) -> bool:
        """Whether it takes back instead of giving."""
        return (self.value or 0) < 0 or (self.quantity or 0) < 0


Outcome = tuple[int, Fate, float | None, float | None, str]
"""(row, fate, value and quantity that are left, a note)."""


def settle(purchases: Iterable[Purchase]) -> list[Outcome]:
    """What becomes of one user's purchases and refunds of one item, in the order in which they happened."""
    standing: list[Purchase] = []
    outcomes: list[Outcome] = []
    reduced: dict[int, Outcome] = {}
    for event in purchases:
        if not event.is_refund:
            standing.append(event)
            continue
        met = _take_back(event, standing, outcomes, reduced)
        fate: Fate = "refund" if met else "unmatched_refund"
        outcomes.append((event.row, fate, None, None, f"of {met}" if met else ""))
    left = {purchase.row for purchase in standing}
    return outcomes + [outcome for row, outcome in reduced.items() if row in left]


def _take_back(
    refund: Purchase, standing: list[Purchase], outcomes: list[Outcome], reduced: dict[int, Outcome]
) -> str:
    """Cancel or reduce what `refund` speaks of; the id of the first purchase that it met, "" for none."""
    amount, pieces = abs(refund.value or 0), abs(refund.quantity or 0)
    first = ""
    while standing:
        found = standing[_position(standing, amount)]
        first = first or found.event_id
        whole = found.quantity or 0
        if 0 < pieces < whole:
            _reduce(found, amount, pieces)
            reduced[found.row] = (
                found.row,
                "partly_refunded",
                found.value,
                found.quantity,
                f"by {refund.event_id}",
            )
            return first
        standing.remove(found)
        outcomes.append((found.row, "refunded_purchase", None, None, f"given back by {refund.event_id}"))
        pieces, amount = pieces - whole, max(amount - (found.value or 0), 0.0)
        if not whole or pieces <= 0:
            return first
    return first


def _position(standing: Sequence[Purchase], amount: float) -> int:
    """The latest of the same amount, or else the latest."""
    for at in range(len(standing) - 1, -1, -1):
        if amount and isclose(standing[at].value or 0, amount, abs_tol=1e-6):
            return at
    return -1


def _reduce(purchase: Purchase, amount: float, pieces: float) -> None:
    whole = purchase.quantity or pieces
    purchase.quantity = whole - pieces
    if purchase.value is None:
        return
    left = purchase.value - amount
    # a refund that tells no amount, or more than was paid, takes its pieces' share
    purchase.value = left if amount and left > 0 else purchase.value * (whole - pieces) / whole


def cancel_refunds(log: Log) -> list[RuleCount]:
    """Drop refunds with the purchases they cancel; mend what was partly given back."""
    columns = {
        "row": "BIGINT", "fate": "VARCHAR", "value": "DOUBLE", "quantity": "DOUBLE", "note": "VARCHAR",
    }  # fmt: skip
    log.take_in("fates", columns, _outcomes(log))
    counts = []
    for fate, reason in _REASONS.items():
        rows = f"""SELECT "row", NULL AS weight, note FROM fates WHERE fate = '{fate}'"""
        if fate == "partly_refunded":
            counts.append(log.count(fate, rows, reason, "mended"))
        else:
            counts.append(log.drop(fate, rows, reason))
    if counts[-1].rows:
        log.db.execute(
            """CREATE TABLE amounts AS SELECT "row", value, quantity FROM fates WHERE fate = 'partly_refunded'"""
        )
        log.define()
    return counts


def _outcomes(log: Log) -> Iterator[Outcome]:
    log.db.execute("""
        CREATE TABLE touched AS SELECT DISTINCT user_id, item_id FROM events
        WHERE kind = 'purchase' AND (value < 0 OR quantity < 0)""")
    log.db.execute("""
        CREATE TABLE settling AS SELECT user_id, item_id, "row", event_id, value, quantity,
            "time", (value < 0 OR quantity < 0) IS true AS back
        FROM events SEMI JOIN touched USING (user_id, item_id) WHERE kind = 'purchase'""")
    found = log.db.cursor().execute("""
        SELECT user_id, item_id, "row", event_id, value, quantity FROM settling
        ORDER BY user_id, item_id, "time", back, event_id""")
    for _, group in groupby(_rows(found.fetchmany), key=lambda row: row[:2]):
        yield from settle(
            Purchase(row, event_id, value, quantity) for _, _, row, event_id, value, quantity in group
        )


def _rows(fetch: Callable[[int], list[tuple[Any, ...]]]) -> Iterator[tuple[Any, ...]]:
    while batch := fetch(_BATCH):
        yield from batch
