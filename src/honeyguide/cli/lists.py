"""`honeyguide recommend` and `honeyguide search`: lists that explore nothing and leave no trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from honeyguide.cli.options import AsJson, Now, Shop, User, moment

if TYPE_CHECKING:
    from honeyguide.config import Rules
    from honeyguide.data.catalog import Catalog
    from honeyguide.shop.recommend import Listed

Count = Annotated[int, typer.Option("-k", "--k", help="How many items, at the most.", min=1)]
Exclude = Annotated[list[str] | None, typer.Option(help="The id of an item not to show (again for more).")]
Category = Annotated[list[str] | None, typer.Option(help="Show this category only (again for more).")]
Brand = Annotated[list[str] | None, typer.Option(help="Show this brand only (again for more).")]
MaxPrice = Annotated[float, typer.Option(help="Show nothing dearer; 0 is no bound.")]
InStock = Annotated[bool, typer.Option("--in-stock", help="Leave out what is not available.")]
Diversity = Annotated[float, typer.Option(help="How much not to say the same thing twice, from 0 to 1.")]


def recommend(
    shop: Shop,
    user: User,
    k: Count = 10,
    exclude: Exclude = None,
    category: Category = None,
    brand: Brand = None,
    max_price: MaxPrice = 0.0,
    in_stock: InStock = False,
    diversity: Diversity = 0.0,
    by: Annotated[
        str,
        typer.Option(
            help="Rank by the expected reward, by next, or by the chance of a click, cart or purchase."
        ),
    ] = "reward",
    following: Annotated[
        bool, typer.Option("--next", help="By the sequence model: what they never took and may take next.")
    ] = False,
    now: Now = None,
    json: AsJson = False,
) -> None:
    """List what a user is expected to take, within the shop's rules.

    Nothing is explored and nothing is written down: to learn from what is shown, decide a page.
    """
    from honeyguide.interests.heads import HEAD_KINDS
    from honeyguide.shop.honeyguide import Honeyguide

    rules = _rules(exclude, category, brand, max_price, in_stock, diversity)
    with Honeyguide.open(shop) as opened:
        if following:
            found = opened.following(user, k=k, rules=rules, now=moment(now))
        else:
            found = opened.recommend(user, k=k, rules=rules, now=moment(now), by=by)
        chances = by in HEAD_KINDS and not following
        head = {"user_id": user, "by": "next" if following else by}
        _show(head, f"For {user}", found, opened.fitted.catalog, as_json=json, chances=chances)


def search(
    shop: Shop,
    query: Annotated[str, typer.Argument(help="What is looked for.")],
    user: Annotated[str | None, typer.Option(help="Who looks: what they want comes first.")] = None,
    k: Count = 10,
    exclude: Exclude = None,
    category: Category = None,
    brand: Brand = None,
    max_price: MaxPrice = 0.0,
    in_stock: InStock = False,
    now: Now = None,
    json: AsJson = False,
) -> None:
    """List what a query may mean, within the shop's rules.

    Items are found by words and by meaning, and what the user wants, or what is popular, comes first among them.
    """
    from honeyguide.shop.honeyguide import Honeyguide

    rules = _rules(exclude, category, brand, max_price, in_stock, 0.0)
    with Honeyguide.open(shop) as opened:
        found = opened.search(query, user_id=user, k=k, rules=rules, now=moment(now))
        head = {"query": query, "user_id": user}
        _show(head, f"Found for {query}", found, opened.fitted.catalog, as_json=json)


def _rules(
    exclude: list[str] | None,
    category: list[str] | None,
    brand: list[str] | None,
    max_price: float,
    in_stock: bool,
    diversity: float,
) -> Rules:
    from honeyguide.config import Rules

    wanted = [f"category={name}" for name in category or ()] + [f"brand={name}" for name in brand or ()]
    return Rules(
        include=tuple(wanted),
        exclude_ids=tuple(exclude or ()),
        max_price=max_price,
        in_stock=in_stock,
        diversity=diversity,
    )


def _show(
    head: Mapping[str, str | None],
    title: str,
    found: tuple[Listed, ...],
    catalog: Catalog,
    *,
    as_json: bool,
    chances: bool = False,
) -> None:
    from honeyguide.cli.show import console, show, table

    texts = [catalog.texts[catalog.row(one.item_id)] for one in found]
    if as_json:
        items = [{"text": text, **msgspec.to_builtins(one)} for one, text in zip(found, texts, strict=True)]
        show({**head, "items": items}, "", as_json=True)
        return
    printed = table("#", "item", "text", "why", "chance" if chances else "score")
    for place, (one, text) in enumerate(zip(found, texts, strict=True), start=1):
        printed.add_row(
            str(place), one.item_id, text, one.why, f"{one.score:.1%}" if chances else f"{one.score:.3f}"
        )
    show({}, title if found else f"{title}: nothing", as_json=False)
    if found:
        console.print(printed)
