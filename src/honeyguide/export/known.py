"""All formats that can be exported."""

from __future__ import annotations

from honeyguide.errors import InvalidInput
from honeyguide.export.canonical import Canonical
from honeyguide.export.decisions import Decisions
from honeyguide.export.dsjson import Dsjson
from honeyguide.export.exporter import Exporter
from honeyguide.export.obp import Obp
from honeyguide.export.personalize import Personalize
from honeyguide.export.recbole import Recbole

EXPORTERS: tuple[Exporter, ...] = (
    Decisions(),
    Decisions(features=True),
    Dsjson(),
    Obp(),
    Recbole(),
    Personalize(),
    Canonical("parquet"),
    Canonical("csv"),
    Canonical("jsonl"),
)


def exporter_named(name: str) -> Exporter:
    """The format of that name; InvalidInput lists them."""
    for exporter in EXPORTERS:
        if exporter.name == name:
            return exporter
    known = ", ".join(exporter.name for exporter in EXPORTERS)
    raise InvalidInput(f"{name!r} is not a format that can be exported: choose one of {known}")
