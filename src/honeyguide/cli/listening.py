"""Listening on a port until told to end: uvicorn with our logs, our start-up line and a clean exit."""

from __future__ import annotations

import json
import logging
import signal
import socket
import sys
from collections.abc import Callable
from datetime import UTC, datetime

import uvicorn
from starlette.applications import Starlette

from honeyguide.cli.connections import IDLE_S, Connection
from honeyguide.errors import InvalidInput

log = logging.getLogger("honeyguide.serve")
_GRACE_S = 20  # for requests in flight when the end is asked for
_BACKLOG = 1024  # connections that wait to be accepted


class _Lines(logging.Formatter):
    """A record as one JSON object; only what we wrote down ourselves, so that no user's data slips in."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        facts = getattr(record, "facts", {})
        return json.dumps(
            {"time": time, "level": record.levelname.lower(), "event": record.getMessage(), **facts}
        )


class _Server(uvicorn.Server):
    """Says where it listens once it does."""

    def __init__(self, config: uvicorn.Config, say: Callable[[], object]) -> None:
        super().__init__(config)
        self._say = say

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        if not self.should_exit:
            self._say()


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens there; InvalidInput where that cannot be."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        problem = f"cannot listen on {host}:{port}: {error.strerror}. Choose another --host or --port"
        raise InvalidInput(problem) from None


def url_of(bound: socket.socket) -> str:
    """The URL of what listens there."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listen(app: Starlette, bound: socket.socket, say: Callable[[], object]) -> None:
    """Serve until SIGTERM or SIGINT; what was asked by then is answered. `say` is called when it is open."""
    log_lines()
    server = _Server(config_of(app), say)
    # uvicorn raises the signal that ended it once more when it is through: that is no failure
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda number, frame: setattr(server, "should_exit", True))
    server.run(sockets=[bound])


def config_of(app: Starlette) -> uvicorn.Config:
    """How uvicorn serves it."""
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
        timeout_keep_alive=int(IDLE_S),
    )


def log_lines() -> None:
    """Write the log to standard error, one JSON object a line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    for name, level in (("honeyguide.serve", logging.INFO), ("uvicorn.error", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
