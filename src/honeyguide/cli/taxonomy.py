"""`honeyguide taxonomy`: the tree of interests, for people and for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from honeyguide.cli.options import AsJson, Shop

if TYPE_CHECKING:
    from honeyguide.interests.outline import Line
    from honeyguide.interests.taxonomy import Taxonomy

_NAME = 56  # characters of a name and its indent
_FIGURES = 36  # characters of all that stands in a row beside the name and the examples
_EXAMPLE = 30  # characters of an item's title
_RETIRED = 12  # retired interests that are named


def taxonomy(
    shop: Shop,
    levels: Annotated[
        int | None, typer.Option(help="How many levels to show, from the top; all when not given.", min=1)
    ] = None,
    json: AsJson = False,
) -> None:
    """Show the tree of interests.

    Each interest with its id, its items, its share of what is taken and some of its most taken items, and what the
    last fit changed: ids and names stay from fit to fit where the items stay.
    """
    import msgspec

    from honeyguide import artifacts
    from honeyguide.cli.show import console, show
    from honeyguide.interests.outline import outline
    from honeyguide.shop.models import load_fitted
    from honeyguide.shop.releases import TAXONOMY
    from honeyguide.shop.workspace import Workspace

    workspace = Workspace.at(shop)
    fitted = load_fitted(workspace.models, workspace.items)
    stored = artifacts.load(workspace.models, TAXONOMY)
    tree, quality = fitted.taxonomy, stored.meta.get("quality", {})
    lines = [
        line
        for line in outline(tree, fitted.items.taken, fitted.catalog.titles)
        if levels is None or line.depth < levels
    ]
    if json:
        head = {"version": stored.version, "levels": tree.levels, "leaves": len(tree), "quality": quality}
        changes = msgspec.to_builtins(tree.growth.changes)
        show({**head, "changes": changes, "interests": msgspec.to_builtins(lines)}, "", as_json=True)
        return
    show({}, _headline(tree, quality), as_json=False)
    console.print(_table(lines, console.width))
    if said := _changes(tree):
        show({}, said, as_json=False)


def _headline(tree: Taxonomy, quality: dict[str, Any]) -> str:
    """How large the tree is and how good."""
    parts = [
        f"{len(tree):,} interests in {tree.levels} levels under {len(tree.top_names)} top ones, "
        f"{len(tree.members):,} items"
    ]
    if "closeness" in quality:
        parts.append(f"closeness {quality['closeness']:.2f}, coherence {quality['coherence']:.2f}")
    if categories := quality.get("categories"):
        parts.append(
            f"against the shop's own categories: NMI {categories['nmi']:.2f}, purity {categories['purity']:.2f}"
        )
    return "; ".join(parts)


def _table(lines: list[Line], width: int) -> Any:  # noqa: ANN401
    """One row per interest, indented under the one above it; examples where so wide a screen has room for them."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    names = ["  " * line.depth + line.name for line in lines]
    named = min(max(map(len, names), default=0), _NAME, max(width - _FIGURES, _EXAMPLE))
    room = width - named - _FIGURES
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("interest", width=named, no_wrap=True, overflow="ellipsis")
    table.add_column("id", no_wrap=True)
    for heading in ("items", "share"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("since", no_wrap=True)
    if room >= _EXAMPLE:
        table.add_column("taken most", width=room, no_wrap=True, overflow="ellipsis")
    for line, name in zip(lines, names, strict=True):
        figures = (line.id, f"{line.items:,}", f"{line.share:.1%}", line.mark)
        examples = "; ".join(" ".join(title.split())[:_EXAMPLE] for title in line.examples)
        shown = [Text(examples if line.leaf else "")] if room >= _EXAMPLE else []
        table.add_row(Text(name, style="" if line.depth else "bold"), *figures, *shown)
    return table


def _changes(tree: Taxonomy) -> str:
    """What the last fit did to the tree before it."""
    changes = tree.growth.changes
    said = [
        f"{len(ids)} {what}"
        for ids, what in (
            (changes.born, "born"),
            (changes.retired, "retired"),
            (changes.moved, "moved"),
            (changes.renamed, "renamed"),
        )
        if ids
    ]
    if changes.kept is None and not said:
        return ""
    kept = "" if changes.kept is None else f"{changes.kept:.1%} of the known items kept their interest"
    gone = [f"{name} ({one})" for one, name in zip(changes.retired, changes.retired_names, strict=True)]
    gone = [*gone[:_RETIRED], *([f"and {len(gone) - _RETIRED} more"] if len(gone) > _RETIRED else [])]
    lines = ["Since the fit before: " + "; ".join(part for part in (kept, ", ".join(said)) if part)]
    return "\n".join(lines + ([f"Retired: {', '.join(gone)}"] if gone else []))
