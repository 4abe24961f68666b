"""`honeyguide serve` and `honeyguide keys`: the HTTP service of a shop, and who may use it."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honeyguide.cli.options import AsJson, Shop, moment
from honeyguide.errors import InvalidInput, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket

    from honeyguide.cli.workers import Workers
    from honeyguide.serve.auth import Key, Keys
    from honeyguide.shop.honeyguide import Honeyguide

LOOPBACK = ("127.0.0.1", "localhost", "::1")

keys = typer.Typer(help="Make, list and revoke the API keys of a shop.", no_args_is_help=True)


def serve(
    shop: Shop,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.", min=0, max=65535)] = 8080,
    waiting: Annotated[
        int, typer.Option(help="Requests that may wait; one more is told to come again.", min=1)
    ] = 128,
    wait_ms: Annotated[
        int,
        typer.Option(
            help="Milliseconds that a request may be expected to wait; else it is told to come again.", min=1
        ),
    ] = 75,
    store: Annotated[
        str | None,
        typer.Option(
            help="Where the journal is, postgresql://... or a file; [journal] store when not given."
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(help="Processes that answer at this port, about as many as there are cores.", min=1)
    ] = 1,
    json: AsJson = False,
) -> None:
    """Serve a shop over HTTP: decide, learn, find, erase.

    Answers are JSON, and /docs says what there is. Without keys it listens on this machine only. It ends when it is
    told to (SIGTERM or Ctrl-C): what was asked is answered first, and what was learned is stored.
    """
    try:
        import starlette
        import uvicorn
    except ImportError as error:
        raise MissingExtra(error.name or "starlette", "serve") from None
    del starlette, uvicorn
    from honeyguide.cli.listening import bind, url_of

    if workers == 1:
        _refuse_strangers(shop, host)
    with bind(host, port) as bound:

        def say() -> None:
            _started(shop, url_of(bound), as_json=json)

        if workers == 1:
            _answer(shop, store, bound, (waiting, wait_ms), say)
        elif (copy := _copied(workers)) is not None:
            _refuse_strangers(shop, host)
            copies, number, shared = copy
            told = (say, copies.serves) if number == 0 else (copies.serves,)
            _answer(shop, store, bound, (waiting, wait_ms), lambda: [tell() for tell in told], shared)


def _refuse_strangers(shop: Path, host: str) -> None:
    if host not in LOOPBACK and not _keys(shop).all():
        raise InvalidInput(
            f"whoever reaches {host} could read and change the shop: make a key first, with "
            f"honeyguide keys create {shop} --scope decide --scope write"
        )


def _answer(
    shop: Path,
    store: str | None,
    bound: socket,
    most: tuple[int, int],
    say: Callable[[], object],
    shared: Path | None = None,
) -> None:
    """Open the shop and answer at the port until told to end; `most` may wait, and for so many milliseconds."""
    from honeyguide.cli.listening import listen
    from honeyguide.serve.app import create_app
    from honeyguide.serve.tracing import Tracing
    from honeyguide.shop.honeyguide import Honeyguide

    app = create_app(
        Honeyguide.open(shop, store=store),
        keys=_keys(shop),
        most_waiting=most[0],
        most_wait_s=most[1] / 1000,
        reopen=lambda: _reopened(shop, store),
        tracing=Tracing.from_environment(os.environ),
        shared=shared,
    )
    listen(app, bound, say)


def _copied(workers: int) -> tuple[Workers, int, Path] | None:
    """In each copy of this process: what watches it, the how manieth it is, and the folder that they share.

    In this process None, when all have ended.
    """
    import shutil
    import tempfile

    from honeyguide.cli.listening import log_lines
    from honeyguide.cli.workers import Workers

    shared = tempfile.mkdtemp(prefix="honeyguide-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = shared  # read when the library is loaded
    from prometheus_client.multiprocess import mark_process_dead

    log_lines()
    here = os.getpid()
    try:
        copies = Workers(workers, partial(mark_process_dead, path=shared))
        number = copies.run()
        return None if number is None else (copies, number, Path(shared))
    finally:
        if os.getpid() == here:
            shutil.rmtree(shared, ignore_errors=True)


@keys.command()
def create(
    shop: Shop,
    scope: Annotated[
        list[str],
        typer.Option(help="What it may do: read, decide, write, collect or admin (again for more)."),
    ],
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    rate: Annotated[float, typer.Option(help="Requests a second, at the most; 0 is no limit.")] = 0.0,
    json: AsJson = False,
) -> None:
    """Make a key.

    It is printed once, and only its hash is kept. A service that runs knows it at once.
    """
    import secrets

    from honeyguide.cli.show import show

    made = _keys(shop).create(
        name=name, scopes=tuple(scope), rate=rate, now=moment(None), random=secrets.token_bytes(36)
    )
    text = f"{made.text}\nKeep it now: it is not stored. Send it as: Authorization: Bearer {made.text}"
    show({"key": made.text, "key_id": made.key.key_id, "scopes": list(made.key.scopes)}, text, as_json=json)


@keys.command("list")
def list_(shop: Shop, json: AsJson = False) -> None:
    """List the keys, the revoked ones too."""
    from honeyguide.cli.show import console, show, table

    found = _keys(shop).all()
    if json or not found:
        show({"keys": [_told(key) for key in found]}, "There are no keys.", as_json=json)
        return
    printed = table("key", "name", "scopes", "rate", "made", "revoked")
    for key in found:
        told = _told(key)
        limit = f"{key.rate:g}/s" if key.rate else "any"
        made, revoked = str(told["created"])[:10], str(told["revoked"] or "")[:10]
        printed.add_row(key.key_id, key.name, ", ".join(key.scopes), limit, made, revoked)
    console.print(printed)


@keys.command()
def revoke(
    shop: Shop, key: Annotated[str, typer.Argument(help="The key's id.")], json: AsJson = False
) -> None:
    """Refuse a key from now on; a service that runs does so at its next request."""
    from honeyguide.cli.show import show

    revoked = _keys(shop).revoke(key, moment(None))
    show(_told(revoked), f"Key {revoked.key_id} is revoked.", as_json=json)


def _reopened(shop: Path, store: str | None) -> Honeyguide:
    """The shop anew; NotReady while the first fit that makes a release goes on: its parts may not belong together."""
    from honeyguide.shop import releases
    from honeyguide.shop.honeyguide import Honeyguide
    from honeyguide.shop.workspace import Workspace

    workspace = Workspace.at(shop)
    if releases.active_id(workspace.models) is not None:
        return Honeyguide.open(shop, store=store)
    with workspace.alone("fit"):
        return Honeyguide.open(shop, store=store)


def _keys(shop: Path) -> Keys:
    from honeyguide.serve.auth import Keys
    from honeyguide.shop.workspace import Workspace

    return Keys(Workspace.at(shop).root)


def _started(shop: Path, url: str, *, as_json: bool) -> None:
    from honeyguide.cli.show import show
    from honeyguide.shop.workspace import Workspace

    name, locked = Workspace.at(shop).settings.name, bool(_keys(shop).all())
    open_to = "with a key" if locked else "without a key, from this machine only"
    text = f"Serving {name}, {open_to}: {url} (what there is: {url}/docs)"
    show({"shop": name, "url": url, "keys": locked}, text, as_json=as_json)
    sys.stdout.flush()


def _told(key: Key) -> dict[str, object]:
    """What may be told of a key: not its hash."""
    return {
        "key_id": key.key_id,
        "name": key.name,
        "scopes": list(key.scopes),
        "rate": key.rate,
        "created": key.created.isoformat(timespec="seconds"),
        "revoked": None if key.revoked is None else key.revoked.isoformat(timespec="seconds"),
    }
