"""A port that nobody listens on, for processes that meet."""

from __future__ import annotations

import socket


def free_port() -> str:
    """As MASTER_PORT wants it; taken by somebody else meanwhile only by bad luck."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])
