"""The same two items in every container, and what is read instead of them."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from honeyguide.data.database import database, parquet
from honeyguide.data.ingest import ImportReport, import_files
from honeyguide.data.unpack import unpack

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ITEMS = [{"item_id": "a", "title": "One"}, {"item_id": "b", "title": "Two"}]
CSV = b"item_id,title\na,One\nb,Two\n"
JSONL = b"".join(json.dumps(item).encode() + b"\n" for item in ITEMS)
ARRAY = json.dumps(ITEMS, indent=2).encode()
GOOGLE = "http://base.google.com/ns/1.0"
FEED = f"""<?xml version="1.0"?>
<rss xmlns:g="{GOOGLE}"><channel><title>Shop</title><link>https://shop.example</link>
<item><g:id>a</g:id><title>One</title><link>https://shop.example/a</link><g:price>1 EUR</g:price></item>
<item><g:id>b</g:id><title>Two</title><link>https://shop.example/b</link><g:price>2 EUR</g:price></item>
</channel></rss>""".encode()
PAGE = b"""<!DOCTYPE html><html><head><script type="application/ld+json">
[{"@type": "Product", "sku": "a", "name": "One"}, {"@type": "Product", "sku": "b", "name": "Two"}]
</script></head></html>"""


def unpacked(folder: Path, content: bytes, name: str = "f.json") -> bytes:
    """What is read instead of a file with this content."""
    path = folder / name
    path.write_bytes(content)
    scratch = Path(tempfile.mkdtemp(dir=folder))
    return unpack(path, scratch).read_bytes()


def rows(folder: Path, content: bytes, name: str = "f.json") -> list[Any]:
    return [json.loads(line) for line in unpacked(folder, content, name).splitlines()]


def imported(
    folder: Path, content: bytes, name: str = "f.json"
) -> tuple[list[tuple[str, str]], ImportReport]:
    """The stored items and the report of importing a file with this content."""
    (folder / name).write_bytes(content)
    report = import_files(folder / "data", [folder / name], now=NOW)
    path = folder / "data" / "items.parquet"
    with database() as db:
        return db.execute(f"SELECT item_id, title FROM {parquet(path)}").fetchall(), report


def aside(report: ImportReport) -> list[tuple[int, str]]:
    text = Path(report.quarantine).read_text() if report.quarantine else ""
    return [(row["row"], row["reason"]) for row in map(json.loads, text.splitlines())]


def zipped(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def as_parquet(folder: Path) -> bytes:
    with duckdb.connect() as db:
        db.execute(
            f"COPY (FROM (VALUES ('a', 'One'), ('b', 'Two')) t(item_id, title)) TO '{folder}/i.parquet'"
        )
    return (folder / "i.parquet").read_bytes()
