"""`honeyguide similar`: what is like an item, or what goes along with it."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from honeyguide.cli.options import AsJson, Shop


def similar(
    shop: Shop,
    item: Annotated[str, typer.Argument(help="The item's id.")],
    k: Annotated[int, typer.Option("-k", "--k", help="How many items, at the most.", min=1)] = 10,
    together: Annotated[
        bool, typer.Option("--together", help="What goes along with it instead of what is like it.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Show what is like an item, or what is taken together with it.

    Likeness is by text and by what shares baskets; an item that is new has its text alone. What goes together is
    ranked by the evidence that it is no chance (Dunning's G2).
    """
    from honeyguide.cli.show import console, show, table
    from honeyguide.shop.honeyguide import Honeyguide

    with Honeyguide.open(shop) as opened:
        found = opened.bought_together(item, k=k) if together else opened.similar(item, k=k)
        catalog = opened.fitted.catalog
        texts = {one.item_id: catalog.texts[catalog.row(one.item_id)] for one in found}
        asked = catalog.texts[catalog.row(item)] or item
    if json:
        items = [{"text": texts[one.item_id], **msgspec.to_builtins(one)} for one in found]
        show({"item_id": item, "together": together, "items": items}, "", as_json=True)
        return
    show({}, f"{'Goes along with' if together else 'Like'} {item}: {asked}", as_json=False)
    if not found:
        show({}, "Nothing shares more baskets with it than chance allows.", as_json=False)
        return
    printed = table("#", "item", "text", "why", "evidence" if together else "likeness")
    for place, one in enumerate(found, start=1):
        printed.add_row(str(place), one.item_id, texts[one.item_id], one.why, f"{one.score:.3g}")
    console.print(printed)
