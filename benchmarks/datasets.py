"""What importing, cleaning and labelling real data sets gives: the counts before and after.

    python benchmarks/datasets.py [--data FOLDER] [--page docs/data.md]

Each data set is imported into a workspace of its own as a user would do it, cleaned with the default settings, and
counted. The Complete Journey installs with pip; the others are looked for as folders below --data and left out where
they are not there. `--page` writes the tables between the markers of that page.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from honeyguide.config import Clean, Labels
from honeyguide.data.clean import CleaningReport, clean
from honeyguide.data.demo import demo_files
from honeyguide.data.ingest import ImportReport, import_files
from honeyguide.data.labels.summary import label_counts

NOW = datetime(2026, 11, 23, tzinfo=UTC)
BEGIN, END = "<!-- counted: begin -->", "<!-- counted: end -->"
REVIEWS = (
    "item_id=Clothing ID,title=Class Name,category=Department Name,text=Review Text,value=Rating,kind='rating',"
    "user_id=_row,time='2018-01-01T00:00:00Z'"
)


@dataclass(frozen=True, slots=True)
class DataSet:
    """Files that are imported together, and the options that a user would give."""

    name: str
    files: tuple[Path, ...]
    columns: str | None = None
    table: str | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """What came of one data set."""

    name: str
    imported: ImportReport
    cleaned: CleaningReport | None
    labels: tuple[str, ...]


def main() -> None:
    """Count them all, print the page, and write it where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--page", type=Path, default=None)
    options = parser.parse_args()
    text = "\n".join(line for found in known_sets(options.data) for line in section(count(found)))
    print(text)
    if options.page:
        page = options.page.read_text()
        before, after = page.split(BEGIN)[0], page.split(END)[1]
        options.page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


def known_sets(folder: Path | None) -> Iterator[DataSet]:
    """The data sets that are there."""
    home = demo_files()[0].parent
    names = ("products", "transactions", "demographics", "campaigns", "coupon_redemptions")
    yield DataSet("Complete Journey", tuple(home / f"{name}.parquet" for name in names))
    if folder is None:
        return
    wanted = [
        *(
            DataSet(f"Amazon {title}", (folder / name / "items.parquet", folder / name / "sequences.parquet"))
            for title, name in (
                ("Scientific", "amazon_scientific"),
                ("Video Games", "amazon_games"),
                ("Beauty", "amazon_beauty"),
            )
        ),
        *(
            DataSet(
                f"Open Bandit, {kind}",
                tuple(
                    folder / "open_bandit" / f"{part}_{kind}.parquet" for part in ("items", "random", "bts")
                ),
            )
            for kind in ("men", "women")
        ),
        DataSet("Hillstrom", (folder / "hillstrom" / "email.parquet",)),
        DataSet(
            "Women's clothing reviews", (folder / "womens_clothing_reviews" / "reviews.parquet",), REVIEWS
        ),
        DataSet(
            "Bitext customer service",
            (folder / "bitext_customer_service" / "intents.parquet",),
            "text=utterance,intent=intent",
            "messages",
        ),
    ]
    for found in wanted:
        if all(file.is_file() for file in found.files):
            yield found
        else:
            print(f"{found.name}: not below {folder}, left out", file=sys.stderr)


def count(found: DataSet) -> Counted:
    """Import, clean and label one data set."""
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        imported = import_files(data, found.files, columns=found.columns, table=found.table, now=NOW)
        both = (data / "events.parquet").is_file() and (data / "items.parquet").is_file()
        cleaned = clean(data, Clean(), now=NOW) if both else None
        labels = tuple(str(line) for line in label_counts(data, Labels()) if line.count)
        return Counted(found.name, imported, cleaned, labels)


def section(found: Counted) -> Iterator[str]:
    """One data set as Markdown."""
    yield f"### {found.name}\n"
    yield "| table | rows read | kept | put aside |"
    yield "| --- | ---: | ---: | --- |"
    for table, rows in found.imported.tables.items():
        if rows.read:
            aside = ", ".join(f"{p.rows:,} {p.reason}" for p in found.imported.problems) or "0"
            yield f"| {table} | {rows.read:,} | {rows.kept:,} | {aside if rows.quarantined else 0} |"
    yield ""
    if found.cleaned:
        yield from _cleaning(found.cleaned)
    for line in found.labels:
        yield f"- {line}"
    yield ""


def _cleaning(report: CleaningReport) -> Iterator[str]:
    yield "| cleaning | before | after |"
    yield "| --- | ---: | ---: |"
    yield f"| events | {report.events_in:,} | {report.events_out:,} |"
    yield f"| items | {report.items_in:,} | {report.items_out:,} |"
    yield ""
    met = [f"{rule.rule} {rule.rows:,} ({rule.table} {rule.effect})" for rule in report.rules if rule.rows]
    yield f"Rules that met something: {'; '.join(met) or 'none'}.\n"


if __name__ == "__main__":
    main()
