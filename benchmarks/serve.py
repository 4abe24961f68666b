"""What does a decision over HTTP cost beside an echo (Starlette and msgspec that only read and answer)?

python benchmarks/serve.py --shop FOLDER [--candidates N] [--seeds ROUNDS] [--json OUT]

FOLDER is a fitted workspace (`make demo` makes demo-shop); a copy of it is served. Each server is a process of its
own, and what asks is another. A round asks each as often as it can for some seconds, 16 connections at once, and then
ours at 0.7 of what it managed, without waiting for answers: their times count from when a request was due. A decision
is a page of ten out of N candidates, durable when it is answered; events come 100 at once, and are as durable.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from honeyguide.artifacts import write_atomically
from honeyguide.config import FILE_NAME
from honeyguide.shop.models import load_fitted
from honeyguide.shop.workspace import Workspace, settings_toml
from http_load import Load, Target, as_often_as_it_can, at_a_rate
from rows import Row, report

SECONDS, K, SHARE, BATCH = 5.0, 10, 0.7, 100
OF_ECHO, P99_MS, EVENTS = 0.5, 10.0, 20_000.0
"""The goals: a share of the echo's rate, milliseconds at 0.7 of ours, events a second."""
_SERVE = "import sys; from honeyguide.cli.app import main; main(sys.argv[1:])"
_ECHO = Path(__file__).parent / "http_echo.py"


@contextmanager
def server(*words: str) -> Iterator[int]:
    """The port of a server that is started as these words say, and ended."""
    running = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert running.stdout is not None
        yield int(json.loads(running.stdout.readline())["url"].rpartition(":")[2])
    finally:
        running.terminate()
        running.communicate()


def copied(shop: Path, folder: Path, candidates: int) -> Path:
    """A copy of the shop that decides among so many candidates, and begins with an empty journal."""
    copy = Workspace.at(
        shutil.copytree(shop, folder / "shop", ignore=shutil.ignore_patterns("journal.db*", "cache"))
    )
    settings = copy.settings
    changed = replace(settings, explore=replace(settings.explore, candidates=candidates))
    write_atomically(copy.root / FILE_NAME, settings_toml(changed).encode())
    return copy.root


def pages(port: int, users: Sequence[str]) -> Target:
    """A page for one user after the other."""
    bodies = [json.dumps({"user_id": user, "k": K}).encode() for user in users]
    return Target(port, "/v1/decide", lambda number: bodies[number % len(bodies)])


def batches(port: int, users: Sequence[str], item: str, name: str) -> Target:
    """Batches of views, each event with an id of its own."""

    def body(number: int) -> bytes:
        events = [
            {
                "event_id": f"{name}-{number}-{at}",
                "time": "2026-01-05T10:00:00Z",
                "user_id": users[(number + at) % len(users)],
                "kind": "view",
                "item_id": item,
            }
            for at in range(BATCH)
        ]
        return json.dumps({"events": events}).encode()

    return Target(port, "/v1/events:batch", body)


def good(load: Load) -> Load:
    """The load itself; an answer that is none is no figure."""
    wrong = {status for status in load.statuses if status != 200}
    if wrong:
        raise SystemExit(f"the server answered {sorted(wrong)}: nothing was measured")
    return load


def measured(shop: Path, echo: int, rounds: int, candidates: int) -> list[Row]:
    """The rows of one shop beside the echo."""
    fitted = load_fitted(Workspace.at(shop).models, Workspace.at(shop).items)
    users, item = sorted(fitted.histories)[:500], fitted.catalog.ids[0]
    figures: dict[str, list[float]] = {name: [] for name in ("ours", "echo", "p50", "p99", "events")}
    with server("-c", _SERVE, "serve", str(shop), "--port", "0", "--json") as port:
        good(as_often_as_it_can(pages(port, users), 2.0))
        for turn in range(rounds):
            ours = good(as_often_as_it_can(pages(port, users), SECONDS)).rate
            figures["ours"].append(ours)
            figures["echo"].append(good(as_often_as_it_can(pages(echo, users), SECONDS)).rate)
            steady = good(at_a_rate(pages(port, users), SHARE * ours, SECONDS))
            figures["p50"].append(steady.at(0.5))
            figures["p99"].append(steady.at(0.99))
            sent = good(as_often_as_it_can(batches(port, users, item, f"r{turn}"), SECONDS))
            figures["events"].append(BATCH * sent.rate)
    name = f"decide, {candidates}"
    return [
        Row.of(name, "requests/s", figures["ours"], "echo", figures["echo"], goal=OF_ECHO),
        Row.of(name, "goal's ms/p50", [P99_MS / ms for ms in figures["p50"]], "goal", [1.0], goal=1.0),
        Row.of(name, "goal's ms/p99", [P99_MS / ms for ms in figures["p99"]], "goal", [1.0], goal=1.0),
        Row.of(f"events, {BATCH} at once", "events/s", figures["events"], "goal", [EVENTS], goal=1.0),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shop", type=Path, default=Path("demo-shop"))
    parser.add_argument("--candidates", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.shop.parent) as folder, server(str(_ECHO)) as echo:
        shop = copied(options.shop, Path(folder), options.candidates)
        report(measured(shop, echo, options.seeds, options.candidates), options)


if __name__ == "__main__":
    main()
