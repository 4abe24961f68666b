"""Rules that look at one event alone: consent, the clock, worth, an absolute limit, items that are gone."""

from __future__ import annotations

from datetime import datetime

from honeyguide.data.cleaning.log import Log
from honeyguide.data.cleaning.report import RuleCount
from honeyguide.data.table import to_us


def without_consent(log: Log) -> RuleCount:
    """Drop events whose user has said no; where nothing is known (NULL) they stay."""
    rows = 'SELECT "row", NULL AS weight, NULL AS note FROM events WHERE consent = false'
    return log.drop("without_consent", rows, "of a user who has not agreed to be learned from")


def future(log: Log, now: datetime) -> RuleCount:
    """Drop events later than `now`."""
    rows = f"""SELECT "row", epoch_us("time") AS weight, NULL AS note FROM events
        WHERE "time" > make_timestamptz({to_us(now)})"""
    return log.drop("future", rows, f"later than {now:%Y-%m-%d %H:%M} UTC")


def worthless(log: Log) -> RuleCount:
    """Drop purchases worth 0 or less."""
    rows = """SELECT "row", NULL AS weight, NULL AS note FROM events WHERE kind = 'purchase' AND value <= 0"""
    reason = "a refund, a give-away or coupon bookkeeping (value 0 or less) is not a purchase"
    return log.drop("non_positive_purchase", rows, reason)


def too_dear(log: Log, limit: float) -> RuleCount:
    """Drop events worth more than `limit`."""
    rows = f'SELECT "row", abs(value) AS weight, NULL AS note FROM events WHERE abs(value) > {limit!r}'
    return log.drop("value_outlier", rows, f"worth more than {limit:g}: a typing error or a bulk order")


def item_gone(log: Log) -> RuleCount:
    """Drop events of items that the cleaned catalogue does not hold."""
    rows = """SELECT "row", NULL AS weight, NULL AS note FROM events
        WHERE item_id IS NOT NULL AND item_id NOT IN (SELECT item_id FROM items)"""
    return log.drop("item_gone", rows, "of an item that the cleaned catalogue does not hold")


def before_created(log: Log, days: float) -> RuleCount:
    """Count events that come more than `days` before their item was created."""
    early = "(epoch_us(items.created_at) - epoch_us(events.time))"
    note = f"printf('%.1f days before the item was created', {early} / 864e8)"
    rows = f"""SELECT "row", {early} AS weight, {note} AS note
        FROM events JOIN items ON items.item_id = events.item_id AND items.created_at IS NOT NULL
        WHERE {early} > {days * 864e8!r}"""
    reason = f"more than {days:g} days before the item was created: one of the two clocks is wrong; kept"
    return log.count("before_created", rows, reason)
