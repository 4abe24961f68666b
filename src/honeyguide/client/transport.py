"""One kept connection, and the same request again where it may have been lost: each has one effect per id."""

from __future__ import annotations

from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from honeyguide.errors import (
    Conflict,
    InvalidInput,
    NotAllowed,
    NotFound,
    Rejected,
    ServiceError,
    Unavailable,
)

_KINDS: dict[int, type[ServiceError]] = {
    400: Rejected,
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    413: Rejected,
    415: Rejected,
    422: Rejected,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
    507: Unavailable,
}
_T = TypeVar("_T")
_FIRST_WAIT_S = 0.1
_MOST_WAIT_S = 30.0


class _Problem(msgspec.Struct):
    type: str = ""
    detail: str = ""


class Transport:
    """Asks one service and reads what it says; for one thread.

    What was not answered, or with 429 or 503, is asked again, `tries` times in all: after the seconds that the
    service asks for, or after 0.1 s and twice as long each time.
    """

    def __init__(
        self, url: str, key: str | None, *, timeout_s: float, tries: int, sleep: Callable[[float], None]
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInput(f"the service's address is http://HOST:PORT or https://HOST, got {url!r}")
        if tries < 1:
            raise InvalidInput(f"tries must be at least 1, got {tries}")
        self._url = url
        self._root = parts.path.rstrip("/")
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=timeout_s)
        self._headers = {"accept": "application/json", "user-agent": "honeyguide-client"}
        if key is not None:
            self._headers["authorization"] = f"Bearer {key}"
        self._tries, self._sleep = tries, sleep

    def ask(self, method: str, path: str, body: object = None) -> bytes:
        """The answer's body; ServiceError."""
        content = None if body is None else msgspec.json.encode(body)
        for place in range(1, self._tries + 1):
            wait = _FIRST_WAIT_S * 2 ** (place - 1)
            try:
                status, after, answer = self._once(method, path, content)
            except (OSError, HTTPException) as error:
                self._connection.close()
                failed: ServiceError = Unavailable(
                    f"{self._url} did not answer: {error or type(error).__name__}. Is it serving?"
                )
            else:
                if status < 300:
                    return answer
                failed = _error(status, answer)
                wait = wait if after is None else after
            if not isinstance(failed, Unavailable) or place == self._tries or wait > _MOST_WAIT_S:
                raise failed
            self._sleep(wait)
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Close the connection; the next question opens it again."""
        self._connection.close()

    def _once(self, method: str, path: str, content: bytes | None) -> tuple[int, float | None, bytes]:
        headers = self._headers if content is None else self._headers | {"content-type": "application/json"}
        self._connection.request(method, self._root + path, content, headers)
        response = self._connection.getresponse()
        answer = response.read()
        return response.status, _seconds(response.headers.get("retry-after")), answer


def _seconds(after: str | None) -> float | None:
    """Retry-After in seconds; a date there is not read, we wait as if none were given."""
    return float(after) if after is not None and after.strip().isdecimal() else None


def _error(status: int, answer: bytes) -> ServiceError:
    try:
        said = msgspec.json.decode(answer, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):  # a proxy in front speaks for itself
        said = _Problem()
    detail = said.detail or f"the service answered with status {status}"
    return _KINDS.get(status, ServiceError)(detail, status=status, problem=said.type.rpartition("#")[2])


def decoded(answer: bytes, kind: type[_T]) -> _T:
    """The answer as `kind`; ServiceError where it is something else."""
    try:
        return msgspec.json.decode(answer, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ServiceError(f"the answer cannot be read: {error}. Is it another version's?") from None
