"""Commands that read and write the files of others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from honeyguide.cli.options import AsJson, Columns, Files, Format, Now, Shop, TableName, ToUtc, Zone, moment

BAD_INPUT = 3


def import_(
    shop: Shop,
    files: Files,
    format: Format = None,
    columns: Columns = None,
    table: TableName = None,
    to_utc: ToUtc = False,
    timezone: Zone = None,
    now: Now = None,
    json: AsJson = False,
) -> None:
    """Read events and items from files.

    Bad rows go to quarantine with a reason; the good rows are kept, and importing them again changes nothing.
    """
    from honeyguide.cli.show import Stages, show_import
    from honeyguide.data.ingest import import_files
    from honeyguide.shop.workspace import Workspace

    workspace, at = Workspace.at(shop), moment(now)
    with Stages(quiet=json) as stages, stages.stage("Import") as progress:
        report = import_files(
            workspace.data,
            files,
            format=format,
            columns=columns,
            table=table,
            now=at,
            to_utc=to_utc,
            timezone=timezone,
            progress=progress,
        )
    show_import(report, workspace, as_json=json)


def prepare(
    shop: Shop,
    files: Annotated[list[Path] | None, typer.Argument(help="Files to import first; see import.")] = None,
    format: Format = None,
    columns: Columns = None,
    table: TableName = None,
    to_utc: ToUtc = False,
    timezone: Zone = None,
    now: Now = None,
    json: AsJson = False,
) -> None:
    """Make a clean, labelled data set of files.

    Imports them, cleans what was imported, and writes one Parquet file per label to data/labels/. Makes the workspace
    where there is none yet. What is already done is not done again.
    """
    from honeyguide.cli.show import Stages, show_prepared
    from honeyguide.config import FILE_NAME, Settings
    from honeyguide.data.prepare import Reading
    from honeyguide.data.prepare import prepare as run_prepare
    from honeyguide.shop.workspace import Workspace

    at = moment(now)
    if files and not (shop / FILE_NAME).exists():
        Workspace.create(shop, Settings())
    workspace = Workspace.at(shop)
    settings = workspace.settings
    with workspace.alone("prepare"), workspace.alone("fit"), Stages(quiet=json) as stages:
        report = run_prepare(
            workspace.data,
            files or (),
            clean=settings.clean,
            labels=settings.labels,
            seed=settings.seed,
            now=at,
            reading=Reading(format, columns, table, to_utc, timezone),
            stage=stages.stage,
        )
    show_prepared(report, workspace, as_json=json)


def validate(
    files: Files,
    shop: Annotated[Path | None, typer.Option(help="A workspace whose items count as known.")] = None,
    format: Format = None,
    columns: Columns = None,
    table: TableName = None,
    to_utc: ToUtc = False,
    timezone: Zone = None,
    now: Now = None,
    json: AsJson = False,
) -> None:
    """Look at files before anything is stored.

    Says what they are, what is wrong with them and how to mend it. Exits with 3 where anything is.
    """
    from honeyguide.cli.show import Stages, show_inspection
    from honeyguide.data.inspect import inspect_files
    from honeyguide.shop.workspace import Workspace

    stored = None if shop is None else Workspace.at(shop).data
    with Stages(quiet=json) as stages, stages.stage("Look at the files") as progress:
        found = inspect_files(
            files,
            stored=stored,
            format=format,
            columns=columns,
            table=table,
            now=moment(now),
            to_utc=to_utc,
            timezone=timezone,
            progress=progress,
        )
    show_inspection(found, as_json=json)
    if not found.ok:
        raise typer.Exit(BAD_INPUT)


def export(
    shop: Shop,
    out: Annotated[Path, typer.Argument(help="The file or folder to write.")],
    format: Annotated[str, typer.Option(help="The format, as docs/exports.md names it.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what somebody else wrote.")] = False,
    now: Now = None,
    json: AsJson = False,
) -> None:
    """Write decisions or data for other systems.

    All or nothing; what an earlier export wrote is replaced, anything else only with --overwrite.
    """
    from honeyguide.cli.show import Stages, show_export
    from honeyguide.export.shop import export_shop
    from honeyguide.shop.workspace import Workspace

    workspace = Workspace.at(shop)
    with Stages(quiet=json) as stages, stages.stage("Export") as progress:
        report = export_shop(workspace, format, out, now=moment(now), progress=progress, overwrite=overwrite)
    show_export(report, as_json=json)
