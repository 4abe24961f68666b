"""`honeyguide forget`: drop what is old from the journal."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

import typer

from honeyguide.cli.options import AsJson, Now, Shop, moment
from honeyguide.errors import InvalidInput, NotReady


def forget(
    shop: Shop,
    older_than: Annotated[
        str | None, typer.Option(help="Days, such as 400d; [journal] keep_days when not given.")
    ] = None,
    now: Now = None,
    json: AsJson = False,
) -> None:
    """Drop what is old from the journal.

    What was learned of it stays, and users can still be erased from that. The journal is rewritten, so that no byte
    of it is left; a service that runs goes on deciding.
    """
    from honeyguide.cli.show import show
    from honeyguide.shop.honeyguide import Honeyguide

    with Honeyguide.open(shop) as opened:
        age = _age(older_than, opened.settings.journal.keep_days)
        dropped = opened.forget(age, now=moment(now))
    pages, events = _count(dropped.decisions, "page"), _count(dropped.events, "event")
    show(
        {"decisions": dropped.decisions, "events": dropped.events, "erased": dropped.erased},
        f"Dropped {pages} and {events} of more than {age.days} days ago",
        as_json=json,
    )


def _age(told: str | None, keep_days: float) -> timedelta:
    if told is None:
        if not keep_days:
            raise NotReady("nothing is to be forgotten: set [journal] keep_days, or give --older-than 400d")
        return timedelta(days=keep_days)
    if not re.fullmatch(r"\d{1,6}d?", told):
        raise InvalidInput(f"--older-than takes days, such as 400d, got {told!r}")
    return timedelta(days=int(told.removesuffix("d")))


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"
