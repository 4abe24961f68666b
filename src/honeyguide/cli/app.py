"""The command line: a thin skin over the library. Heavy imports live in the commands that need them.

Exit codes: 0 done; 2 the command line itself is wrong; 3 bad input (the message names file, row and remedy);
4 an earlier command has to run first, or an extra is missing; 5 a stored file or the journal is damaged;
130 interrupted (run the same command again: it goes on where it stopped); 1 anything else, which is a bug.
"""

from __future__ import annotations

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Optional

import typer

from honeyguide.errors import (
    DamagedArtifact,
    HoneyguideError,
    InvalidInput,
    JournalError,
    MissingExtra,
    NoSupport,
    NotReady,
)

app = typer.Typer(
    name="honeyguide",
    help="Learns what each visitor of a shop wants and decides, per request, how much to explore.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done, 2 wrong usage, 3 bad input, 4 run an earlier command first, 5 damaged files, "
    "130 interrupted.",
)

Shop = Annotated[Path, typer.Argument(help="The workspace folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Now = Annotated[Optional[str], typer.Option(help="Act as if it were this moment (ISO 8601 with +00:00).")]  # noqa: UP045

EXIT_CODES: tuple[tuple[type[HoneyguideError], int], ...] = (
    (MissingExtra, 4),
    (NotReady, 4),
    (DamagedArtifact, 5),
    (JournalError, 5),
    (NoSupport, 3),
    (InvalidInput, 3),
)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code."""
    words = sys.argv[1:] if arguments is None else arguments
    # decisions multiply small matrices: BLAS threads only wait for each other (p95 9 ms against 84 ms)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        app(words, standalone_mode=True)
    except HoneyguideError as error:
        from honeyguide.cli.show import show_error

        show_error(error, as_json="--json" in words)
        raise SystemExit(exit_code(error)) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def exit_code(error: HoneyguideError) -> int:
    """The documented exit code of an error."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)


@app.command()
def init(
    shop: Shop, name: Annotated[str, typer.Option(help="The shop's name.")] = "My shop", json: AsJson = False
) -> None:
    """Make a workspace: honeyguide.toml, data/, models/, reports/."""
    from honeyguide.cli.show import show
    from honeyguide.config import Settings
    from honeyguide.shop.workspace import Workspace

    workspace = Workspace.create(shop, Settings(name=name))
    show(
        {"workspace": str(workspace.root)},
        f"Made {workspace.root}. Next: honeyguide import {shop} FILES",
        as_json=json,
    )


@app.command("import")
def import_(
    shop: Shop,
    files: Annotated[list[Path], typer.Argument(help="Files with events and items.")],
    format: Annotated[
        str | None, typer.Option(help="canonical or completejourney; found out when not given.")
    ] = None,
    to_utc: Annotated[
        bool, typer.Option("--to-utc", help="Convert times that carry another offset.")
    ] = False,
    timezone: Annotated[
        Optional[str], typer.Option(help="The zone of times that carry none, e.g. Europe/Berlin.")  # noqa: UP045
    ] = None,
    now: Now = None,
    json: AsJson = False,
) -> None:
    """Read events and items; bad rows go to quarantine with a reason, good rows are kept."""
    from honeyguide.cli.show import Stages, show_import
    from honeyguide.data.ingest import import_files
    from honeyguide.shop.workspace import Workspace

    workspace = Workspace.at(shop)
    with Stages(quiet=json) as stages, stages.stage("Import") as progress:
        report = import_files(
            workspace.data,
            files,
            format=format,
            now=_moment(now),
            to_utc=to_utc,
            timezone=timezone,
            progress=progress,
        )
    show_import(report, as_json=json)


@app.command()
def fit(
    shop: Shop,
    until: Annotated[str | None, typer.Option(help="Learn only from what happened before this day.")] = None,
    now: Now = None,
    json: AsJson = False,
) -> None:
    """Clean, encode the catalogue, discover interests, learn the prior and every user's posterior."""
    from honeyguide.cli.show import Stages, show_fit
    from honeyguide.fit import fit as run_fit
    from honeyguide.journal.sqlite import SqliteJournal
    from honeyguide.shop.workspace import Workspace

    workspace = Workspace.at(shop)
    journal = SqliteJournal(workspace.journal)
    end = journal.end()
    journal.close()
    with Stages(quiet=json) as stages:
        report = run_fit(
            workspace,
            now=_moment(now),
            until=_moment(until) if until else None,
            journal_offset=end,
            stage=stages.stage,
        )
    show_fit(report, as_json=json)


@app.command()
def decide(
    shop: Shop,
    user: Annotated[str, typer.Argument(help="The user's id.")],
    k: Annotated[Optional[int], typer.Option(help="Items on the page.")] = None,  # noqa: UP045
    now: Now = None,
    json: AsJson = False,
) -> None:
    """Decide a page for a user: items, propensities and why; the decision is in the journal."""
    from honeyguide.cli.show import show_decision
    from honeyguide.shop.honeyguide import Honeyguide

    with Honeyguide.open(shop) as opened:
        decision = opened.decide(user, k=k, now=_moment(now))
        show_decision(decision, opened.fitted.catalog, as_json=json)


@app.command()
def feedback(
    shop: Shop,
    decision: Annotated[str, typer.Argument(help="The decision's id.")],
    item: Annotated[str, typer.Argument(help="The id of the item that the user reacted to.")],
    kind: Annotated[
        str, typer.Argument(help="What the user did: view, click, cart, purchase, rating or dismiss.")
    ],
    now: Now = None,
    json: AsJson = False,
) -> None:
    """Record what a user did with a shown item, and learn from it."""
    from typing import cast

    from honeyguide.cli.show import show
    from honeyguide.shop.honeyguide import Honeyguide
    from honeyguide.types import EventKind

    with Honeyguide.open(shop) as opened:
        event = opened.feedback(decision, item, cast("EventKind", kind), now=_moment(now))
    text = f"Recorded: {event.user_id} {event.kind} {event.item_id} ({event.event_id})"
    show({"event_id": event.event_id, "user_id": event.user_id}, text, as_json=json)


@app.command()
def interests(
    shop: Shop,
    user: Annotated[str, typer.Argument(help="The user's id.")],
    top: Annotated[int, typer.Option(help="How many interests to show.")] = 10,
    now: Now = None,
    json: AsJson = False,
) -> None:
    """Show a user's interests with their uncertainty."""
    from honeyguide.cli.show import show_interests
    from honeyguide.shop.honeyguide import Honeyguide

    with Honeyguide.open(shop) as opened:
        show_interests(user, opened.interests(user, now=_moment(now), top=top), as_json=json)


@app.command()
def evaluate(
    shop: Shop,
    policy: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            help="A policy to replay (again for more): tradeoff, greedy, popularity, uniform, thompson-0.2."
        ),
    ] = None,
    workers: Annotated[Optional[int], typer.Option(help="Processes; one per core when not given.")] = None,  # noqa: UP045
    json: AsJson = False,
) -> None:
    """Replay policies on the visits after the fit, beside the exploit-only page."""
    from honeyguide.cli.evaluating import evaluate_shop
    from honeyguide.cli.show import Stages, show_evaluation
    from honeyguide.shop.workspace import Workspace

    with Stages(quiet=json) as stages:
        report = evaluate_shop(Workspace.at(shop), policy, workers=workers, stages=stages)
    show_evaluation(report, as_json=json)


@app.command()
def report(
    shop: Shop,
    out: Annotated[
        Path | None, typer.Option(help="Where to write it; reports/report.html when not given.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Write one self-contained HTML file: quality, trade-off, interests, cleaning."""
    from honeyguide.cli.evaluating import evaluate_shop
    from honeyguide.cli.show import Stages, show
    from honeyguide.evaluate.report import write_report
    from honeyguide.shop.workspace import Workspace

    workspace = Workspace.at(shop)
    path = out or workspace.reports / "report.html"
    with Stages(quiet=json) as stages:
        result = evaluate_shop(workspace, None, workers=None, stages=stages)
        with stages.stage("Write the report"):
            write_report(result, path)
    show({"report": str(path)}, f"Report: {path}", as_json=json)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="The workspace to make or go on with.")] = Path("demo-shop"),
    json: AsJson = False,
) -> None:
    """Run everything on a year of real grocery shopping and write a report: no server, no account."""
    from honeyguide.cli.demo import run_demo

    run_demo(folder, now=_moment(None), as_json=json)


def _moment(text: str | None) -> datetime:
    """The moment a text names, or the wall clock's, which only the command line and an open shop read."""
    from datetime import UTC

    if text is None:
        return datetime.now(UTC)  # noqa: TID251 - the command line is where time comes in
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"{text!r} is no moment: write it like 2026-11-23 or 2026-11-23T10:00:00+00:00"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
