"""`honeyguide items`: what a shop holds, changed while it serves."""

from __future__ import annotations

from typing import Annotated

import typer

from honeyguide.cli.options import AsJson, Columns, Files, Format, Now, Shop, moment

items = typer.Typer(help="Put items into a shop, and delete them, while it serves.", no_args_is_help=True)


@items.command()
def put(
    shop: Shop,
    files: Files,
    format: Format = None,
    columns: Columns = None,
    now: Now = None,
    json: AsJson = False,
) -> None:
    """Put the items of files into the shop.

    They can be shown at once, by all that serve it, without a fit. Each becomes what is said of it, whole.
    """
    import tempfile
    from pathlib import Path

    from honeyguide.cli.show import show
    from honeyguide.data.ingest import import_files
    from honeyguide.data.restock import stored_items
    from honeyguide.shop.honeyguide import Honeyguide

    at = moment(now)
    with Honeyguide.open(shop) as opened, tempfile.TemporaryDirectory(prefix="honeyguide-items-") as scratch:
        report = import_files(Path(scratch), files, format=format, columns=columns, now=at)
        read = stored_items(Path(scratch))
        changed = opened.put_items(read, now=at)
    aside = report.tables["items"].quarantined
    text = f"Put {len(read):,} items, {changed:,} of them new or changed"
    text += f"; {aside:,} rows could not be read: see honeyguide validate" if aside else ""
    show({"items": len(read), "changed": changed, "aside": aside}, text, as_json=json)


@items.command()
def delete(
    shop: Shop,
    item: Annotated[list[str], typer.Argument(help="The ids of the items.")],
    now: Now = None,
    json: AsJson = False,
) -> None:
    """Take items out of the shop: no page and no list holds them from now on."""
    from honeyguide.cli.show import show
    from honeyguide.shop.honeyguide import Honeyguide

    with Honeyguide.open(shop) as opened:
        deleted = opened.delete_items(item, now=moment(now))
    show({"deleted": deleted}, f"Deleted {deleted:,} items.", as_json=json)
