"""Arguments and options that several commands share."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from honeyguide.errors import InvalidInput

Shop = Annotated[Path, typer.Argument(help="The workspace folder.")]
User = Annotated[str, typer.Argument(help="The user's id.")]
Files = Annotated[list[Path], typer.Argument(help="Files with events, items and what else there is.")]
Format = Annotated[
    str | None, typer.Option(help="The format, as docs/formats.md names it; found out when not given.")
]
Columns = Annotated[
    str | None,
    typer.Option(help="Which column of the file is what, e.g. \"item_id=Article,kind='view',user_id=_row\"."),
]
TableName = Annotated[
    str | None, typer.Option(help="The table that --columns fills; found out when not given.")
]
ToUtc = Annotated[bool, typer.Option("--to-utc", help="Convert times that carry another offset.")]
Zone = Annotated[
    str | None, typer.Option("--timezone", help="The zone of times that carry none, e.g. Europe/Berlin.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Now = Annotated[str | None, typer.Option(help="Act as if it were this moment (ISO 8601, UTC).")]


def moment(text: str | None) -> datetime:
    """The moment a text names, or the wall clock's, which only the command line and an open shop read."""
    from datetime import UTC

    if text is None:
        return datetime.now(UTC)  # noqa: TID251 - the command line is where time comes in
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):  # a day before year 1 cannot be moved to UTC
        raise InvalidInput(
            f"{text!r} is no moment: write it like 2026-11-23 or 2026-11-23T10:00:00+00:00"
        ) from None
