"""What does a decision over HTTP cost beside an echo (Starlette and msgspec that only read and answer)?

python benchmarks/serve.py --shop FOLDER [--candidates N] [--seeds ROUNDS] [--json OUT]

FOLDER is a fitted workspace (`make demo` makes demo-shop); a copy of it is served. Each server is a process of its
own, and what asks is another. A round asks each as often as it can for some seconds, 16 connections at once, and then
ours at 0.7 of what it managed, without waiting for answers: their times count from when a request was due. A decision
is a page of ten out of N candidates, durable when it is answered; events come 100 at once, and are as durable. Beside
the wall clock stands what a second of the server's processor time yields: other work on the machine spoils only the
first.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
SERVE = "import sys; from honeyguide.cli.app import main; main(sys.argv[1:])"
_ECHO = Path(__file__).parent / "http_echo.py"


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server listens, and its process."""

    port: int
    pid: int

    @property
    def busy(self) -> float:
        """Seconds of processor time that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def server(*words: str) -> Iterator[Server]:
    """A server that is started as these words say, and ended."""
    running = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert running.stdout is not None
        port = int(json.loads(running.stdout.readline())["url"].rpartition(":")[2])
        yield Server(port, running.pid)
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
                "user_id": users[(number * BATCH + at) % len(users)],
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


def pressed(of: Server, target: Target) -> tuple[float, float]:
    """Good answers a second, and a second of the server's processor time."""
    before = of.busy
    load = good(as_often_as_it_can(target, SECONDS))
    return load.rate, load.rate * load.took / (of.busy - before)


def measured(shop: Path, echo: Server, rounds: int, candidates: int) -> list[Row]:
    """The rows of one shop beside the echo."""
    fitted = load_fitted(Workspace.at(shop).models, Workspace.at(shop).items)
    names, item = sorted(fitted.histories), fitted.catalog.ids[0]
    users, others = names[:500], names[500:] or names
    ours, theirs, events, steady = [], [], [], list[Load]()
    words = ("serve", str(shop), "--port", "0", "--json", "--wait-ms", "60000")  # nobody is to be turned away
    with server("-c", SERVE, *words) as own:
        good(as_often_as_it_can(pages(own.port, users), 2.0))
        for turn in range(rounds):
            ours.append(pressed(own, pages(own.port, users)))
            theirs.append(pressed(echo, pages(echo.port, users)))
            steady.append(good(at_a_rate(pages(own.port, users), SHARE * ours[-1][0], SECONDS)))
            events.append(pressed(own, batches(own.port, others, item, f"r{turn}")))
    name, many = f"decide, {candidates}", f"events, {BATCH} at once"
    rows = [
        Row.of(name, metric, [one[at] for one in ours], "echo", [one[at] for one in theirs], goal=OF_ECHO)
        for at, metric in enumerate(("requests/s", "requests/cpu s"))
    ]
    rows += [
        Row.of(
            name,
            f"goal's ms/p{share * 100:.0f}",
            [P99_MS / one.at(share) for one in steady],
            "goal",
            [1.0],
            goal=1.0,
        )
        for share in (0.5, 0.99)
    ]
    rows += [
        Row.of(many, metric, [BATCH * one[at] for one in events], "goal", [EVENTS], goal=1.0)
        for at, metric in enumerate(("events/s", "events/cpu s"))
    ]
    return rows


def asked(description: str | None, *, candidates: int) -> argparse.Namespace:
    """Options of the command line: shop, candidates, seeds, json."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shop", type=Path, default=Path("demo-shop"))
    parser.add_argument("--candidates", type=int, default=candidates)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=None)
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    options = asked(__doc__, candidates=1000)
    with tempfile.TemporaryDirectory(dir=options.shop.parent) as folder, server(str(_ECHO)) as echo:
        shop = copied(options.shop, Path(folder), options.candidates)
        report(measured(shop, echo, options.seeds, options.candidates), options)


if __name__ == "__main__":
    main()
