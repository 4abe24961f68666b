"""`honeyguide backup`, `restore` and `doctor`: a shop in one file and back, and a look at all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from honeyguide.cli.options import AsJson, Now, Shop, moment

BROKEN = 1
_File = Annotated[Path, typer.Argument(help="The backup's file.")]
_Store = Annotated[
    str | None,
    typer.Option(help="Where the journal is, postgresql://... or a file; [journal] store when not given."),
]


def backup(
    shop: Shop,
    file: _File,
    force: Annotated[bool, typer.Option("--force", help="Replace the file where it is there.")] = False,
    store: _Store = None,
    now: Now = None,
    json: AsJson = False,
) -> None:
    """Write a shop and its journal to one file.

    All of it as it stood at one moment, also while it is served; the file is there when it is whole, or not at all.
    It holds what users did, and hashes of API keys: nobody else may read it.
    """
    from honeyguide.cli.show import show
    from honeyguide.shop.backup import back_up
    from honeyguide.shop.workspace import Workspace

    held = back_up(Workspace.at(shop), file, made=moment(now), store=store, replace=force)
    size = file.stat().st_size
    text = (
        f"Backed up {len(held.files):,} files and {held.entries:,} journal entries: {file}, "
        f"{size / 1e6:,.1f} MB"
    )
    facts = {"decisions": held.decisions, "events": held.events, "end": held.end}
    show({"backup": str(file), "bytes": size, "files": len(held.files), **facts}, text, as_json=json)


def restore(
    file: _File,
    shop: Shop,
    force: Annotated[
        bool, typer.Option("--force", help="Move aside the shop that is there, and take its place.")
    ] = False,
    store: Annotated[
        str | None,
        typer.Option(
            help="A database for the journal, whose schema is empty; [journal] store when not given."
        ),
    ] = None,
    now: Now = None,
    json: AsJson = False,
) -> None:
    """Make a shop out of a backup.

    Every byte is checked first; the shop is there when it is whole, or not at all. Stop what serves it before.
    """
    from honeyguide.cli.show import show
    from honeyguide.shop.restoring import restore as run

    held = run(file, shop, now=moment(now), store=store, replace=force)
    text = (
        f"Restored {shop} as it was on {held.made:%Y-%m-%d %H:%M} UTC: {len(held.files):,} files, "
        f"{held.entries:,} journal entries. Users who were erased since are in it: erase them again"
    )
    facts = {
        "decisions": held.decisions,
        "events": held.events,
        "end": held.end,
        "made": held.made.isoformat(),
    }
    show({"shop": str(shop), "files": len(held.files), **facts}, text, as_json=json)


def doctor(shop: Shop, store: _Store = None, now: Now = None, json: AsJson = False) -> None:
    """Look a shop over, and say what is wrong and what to do.

    Settings, rights, room, locks, every file by its hash, whether the parts of what serves fit together, every entry
    of the journal, whether what was learned is its replay, the clock, and how a database is set up. It may be served
    meanwhile. The exit code is 1 where something is broken.
    """
    from dataclasses import asdict

    from honeyguide.cli.show import show
    from honeyguide.shop.doctor.examine import examine
    from honeyguide.shop.workspace import Workspace

    found = examine(Workspace.at(shop), now=moment(now), store=store)
    wrong = sum(one.state == "broken" for one in found)
    lines = [
        f"{one.state:<8} {one.name}: {one.said}{'. ' if one.remedy else ''}{one.remedy}" for one in found
    ]
    lines.append("Something is broken." if wrong else "Nothing is broken.")
    show({"sound": not wrong, "checks": [asdict(one) for one in found]}, "\n".join(lines), as_json=json)
    if wrong:
        raise typer.Exit(BROKEN)
