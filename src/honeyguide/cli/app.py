"""The command line: a thin skin over the library. Heavy imports live in the commands that need them.

Exit codes: 0 done; 2 the command line itself is wrong; 3 bad input (the message names file, row and remedy);
4 an earlier command has to run first, or an extra is missing; 5 a stored file or the journal is damaged;
130 interrupted (run the same command again: it goes on where it stopped); 1 anything else: `doctor` found something
broken, or it is a bug.
"""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from json import dumps as to_json
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from honeyguide.cli import (
    experiments,
    files,
    forgetting,
    interests,
    keeping,
    lists,
    models,
    serving,
    similar,
    stocking,
    taxonomy,
)
from honeyguide.cli.options import AsJson, Now, Shop, User, moment
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
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 2 wrong usage, 3 bad input, 4 run an earlier command first, 5 damaged files, "
    "130 interrupted.",
)

EXIT_CODES: tuple[tuple[type[HoneyguideError], int], ...] = (
    (MissingExtra, 4),
    (NotReady, 4),
    (DamagedArtifact, 5),
    (JournalError, 5),
    (NoSupport, 3),
    (InvalidInput, 3),
)
WRONG_USAGE, BAD_INPUT, INTERRUPTED = 2, files.BAD_INPUT, 130
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]  # typer exports no more than the leaf


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code."""
    words = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in words
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(
            errors="backslashreplace"
        )  # a terminal that lacks a character is no reason to stop
    # decisions multiply small matrices: BLAS threads only wait for each other (p95 9 ms against 84 ms)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        code = app(words, prog_name="honeyguide", standalone_mode=False) or 0
    except HoneyguideError as error:
        _fail(type(error).__name__, str(error), exit_code(error), as_json=as_json)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        problem = (
            f"{where}{error.strerror or error}. Check the path, its permissions and the room on the disk"
        )
        _fail(type(error).__name__, problem, BAD_INPUT, as_json=as_json)
    except _UsageError as error:
        if not as_json:
            error.show()  # type: ignore[attr-defined]
            raise SystemExit(WRONG_USAGE) from None
        _fail("WrongUsage", error.format_message(), WRONG_USAGE, as_json=True)  # type: ignore[attr-defined]
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        problem = "Run the same command again: what is done is kept, and it goes on from there"
        _fail("Interrupted", problem, code, as_json=as_json, lead="interrupted")
    raise SystemExit(code)


def exit_code(error: HoneyguideError) -> int:
    """The documented exit code of an error."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)


def _fail(kind: str, message: str, code: int, *, as_json: bool, lead: str = "error") -> NoReturn:
    """Say what is wrong on standard error, as one JSON object where JSON was asked for, and exit."""
    text = to_json({"error": {"type": kind, "message": message}}) if as_json else f"{lead}: {message}"
    sys.stderr.write(text + "\n")
    raise SystemExit(code) from None


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"honeyguide {version('honeyguide')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Learns what each visitor of a shop wants and decides, per request, how much to explore."""


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


app.command()(files.validate)
app.command("import")(files.import_)
app.command()(files.prepare)


@app.command()
def fit(
    shop: Shop,
    until: Annotated[str | None, typer.Option(help="Learn only from what happened before this day.")] = None,
    now: Now = None,
    json: AsJson = False,
) -> None:
    """Learn from what was imported.

    Cleans, reads the catalogue with the language model, discovers interests, learns the prior over users and
    every user's posterior. What is already computed is not computed again. Started by torchrun, several processes
    share out what the language model learns.
    """
    from honeyguide.cli.show import Stages, show_fit
    from honeyguide.fit import fit as run_fit
    from honeyguide.fit import help_fit, is_helper
    from honeyguide.shop.workspace import Workspace

    workspace = Workspace.at(shop)
    at, last = moment(now), None if until is None else moment(until)
    if is_helper():
        help_fit(workspace, until=last)
        return
    with workspace.alone("fit"), Stages(quiet=json) as stages:
        workspace.drop_damaged()
        journal = workspace.open_journal()
        end = journal.end()
        journal.close()
        report = run_fit(workspace, now=at, until=last, journal_offset=end, stage=stages.stage)
    show_fit(report, workspace, as_json=json)


@app.command()
def decide(
    shop: Shop,
    user: User,
    k: Annotated[int | None, typer.Option(help="Items on the page; [explore] k when not given.")] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="The id of an item not to show (again for more).")
    ] = None,
    ranking: Annotated[
        list[str] | None,
        typer.Option(help="An item of the shop's own ranking, in order (again for more): apprentice mode."),
    ] = None,
    looking_at: Annotated[
        str | None, typer.Option(help="The id of the item that the user looks at: its page does not show it.")
    ] = None,
    query: Annotated[
        str | None, typer.Option(help="What the user searched for: the page is drawn from what it may mean.")
    ] = None,
    now: Now = None,
    json: AsJson = False,
) -> None:
    """Decide a page for a user.

    Prints the items, why each is there, and the probability with which it was chosen. The decision is in the
    journal before it is printed. A user who was never seen gets what is known of users in general.
    """
    from honeyguide.cli.show import show_decision
    from honeyguide.shop.context import Context
    from honeyguide.shop.honeyguide import Honeyguide

    context = None if looking_at is query is None else Context(looking_at, query)
    with Honeyguide.open(shop) as opened:
        decision = opened.decide(
            user, k=k, now=moment(now), exclude=exclude or (), ranking=ranking, context=context
        )
        show_decision(decision, opened.fitted.catalog, as_json=json)


@app.command()
def feedback(
    shop: Shop,
    decision: Annotated[str, typer.Argument(help="The decision's id.")],
    item: Annotated[str, typer.Argument(help="The id of the item that the user reacted to.")],
    kind: Annotated[
        str, typer.Argument(help="What the user did: view, click, cart, purchase, rating or dismiss.")
    ],
    value: Annotated[float | None, typer.Option(help="What a purchase was worth, or a rating said.")] = None,
    event_id: Annotated[
        str | None, typer.Option(help="Counts once; made of decision, item and kind when not given.")
    ] = None,
    now: Now = None,
    json: AsJson = False,
) -> None:
    """Tell what a user did with a shown item.

    It is learned from at once. The same feedback again counts once.
    """
    from typing import cast

    from honeyguide.cli.show import show_feedback
    from honeyguide.shop.honeyguide import Honeyguide
    from honeyguide.types import EventKind

    with Honeyguide.open(shop) as opened:
        event = opened.feedback(
            decision, item, cast("EventKind", kind), now=moment(now), event_id=event_id, value=value
        )
    show_feedback(event, as_json=json)


app.command()(interests.interests)
app.command()(taxonomy.taxonomy)
app.command()(similar.similar)
app.command()(lists.recommend)
app.command()(lists.search)


@app.command()
def evaluate(
    shop: Shop,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="A policy to replay (again for more): tradeoff, greedy, popularity, thompson-0.2, linucb-1, ..."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes; one per core when not given.", min=1)
    ] = None,
    what_if: Annotated[
        str | None,
        typer.Option(
            help="Ask the journal instead what level=0.2, or policy=NAME, would have earned on the served pages."
        ),
    ] = None,
    journal: Annotated[
        Path | None,
        typer.Option(help="With --what-if: another journal than the shop's, e.g. reports/replay-journal.db."),
    ] = None,
    slots: Annotated[
        int | None, typer.Option(help="With --what-if: look at the first so many slots of a page.", min=1)
    ] = None,
    now: Now = None,
    json: AsJson = False,
) -> None:
    """Replay policies on the visits after the fit.

    Each policy decides, is rewarded for what the user really took, and learns; beside it stands the page that
    only exploits. Needs a shop that was fitted with --until. With --what-if nothing is replayed: the answer comes
    from the pages that the shop served, and says how sure it is.
    """
    from honeyguide.cli.evaluating import evaluate_shop
    from honeyguide.cli.show import Stages, show_evaluation
    from honeyguide.cli.what_if import run_what_if, show_what_if
    from honeyguide.shop.workspace import Workspace

    workspace = Workspace.at(shop)
    if what_if is not None:
        if policy:
            raise InvalidInput(f"--what-if takes no --policy: ask for --what-if policy={policy[0]}")
        with Stages(quiet=json) as stages:
            found = run_what_if(
                workspace, what_if, journal=journal, slots=slots, now=moment(now), stages=stages
            )
        show_what_if(found, as_json=json)
        return
    with workspace.alone("evaluate"), Stages(quiet=json) as stages:
        report = evaluate_shop(workspace, policy, workers=workers, stages=stages)
    show_evaluation(report, as_json=json)


@app.command()
def report(
    shop: Shop,
    out: Annotated[
        Path | None, typer.Option(help="Where to write it; reports/report.html when not given.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Evaluate, and write one HTML file.

    It shows quality, trade-off, interests and cleaning, and holds everything it needs.
    """
    from honeyguide.cli.evaluating import evaluate_shop
    from honeyguide.cli.show import Stages, show
    from honeyguide.evaluate.report import write_report
    from honeyguide.shop.workspace import Workspace

    workspace = Workspace.at(shop)
    path = out or workspace.reports / "report.html"
    if path.is_dir():
        raise InvalidInput(f"{path} is a folder: name the file to write, such as {path / 'report.html'}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with workspace.alone("evaluate"), Stages(quiet=json) as stages:
        result = evaluate_shop(workspace, None, workers=None, stages=stages)
        with stages.stage("Write the report"):
            write_report(result, path)
    show({"report": str(path)}, f"Report: {path}", as_json=json)


app.command()(serving.serve)
app.command()(forgetting.forget)
app.add_typer(serving.keys, name="keys")
app.add_typer(stocking.items, name="items")
app.add_typer(models.models, name="models")
app.command()(keeping.backup)
app.command()(keeping.restore)
app.command()(keeping.doctor)
app.command()(experiments.experiment)
app.command()(experiments.apprentice)
app.command()(files.export)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="The workspace to make or go on with.")] = Path("demo-shop"),
    json: AsJson = False,
) -> None:
    """Run everything on a year of grocery shopping.

    Real data, from import to report: no server, no account. A second run starts from what is computed.
    """
    from honeyguide.cli.demo import run_demo

    run_demo(folder, now=moment(None), as_json=json)
