"""`honeyguide interests`: what a user is held to want, what comes next, and the events that say so."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from honeyguide.cli.options import AsJson, Now, Shop, User, moment


def interests(
    shop: Shop,
    user: User,
    top: Annotated[int, typer.Option(help="How many interests to show.", min=1)] = 10,
    now: Now = None,
    json: AsJson = False,
) -> None:
    """Show a user's interests, and which comes next.

    The reward expected of showing an interest with its 95 % interval, the chance that it comes next, and the items
    that speak for it.
    """
    from honeyguide.cli.show import console, show, table
    from honeyguide.shop.honeyguide import Honeyguide

    with Honeyguide.open(shop) as opened:
        found = opened.interests(user, now=moment(now), top=top)
        catalog = opened.fitted.catalog
        titles = {item: catalog.titles[catalog.row(item)] or item for one in found for item in one.evidence}
    if json:
        show({"user_id": user, "interests": msgspec.to_builtins(found)}, "", as_json=True)
        return
    printed = table(
        "interest", "within", "expected", "95 % interval", "next", "so far", "surely", "because of"
    )
    for one in found:
        because = ", ".join(dict.fromkeys(titles[item] for item in one.evidence[:2]))
        printed.add_row(
            one.name,
            one.within,
            f"{one.mean:.3f}",
            f"{one.low:.3f} .. {one.high:.3f}",
            f"{one.next:.1%}",
            f"{one.share:.1%}",
            f"{one.surely:.0%}" if one.evidence else "",
            because or "new to them",
        )
    show({}, f"Interests of {user}: the reward expected of showing them, and how sure that is", as_json=False)
    console.print(printed)
