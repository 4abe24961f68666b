"""The HTTP service over one open shop: Starlette in front, one thread behind it that holds the shop."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias, cast

import msgspec
from msgspec import Struct
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from honeyguide.errors import JournalError
from honeyguide.serve import deciding, knowing, recording, releasing, scripts, stocking
from honeyguide.serve.auth import Key, Keys
from honeyguide.serve.docs import page
from honeyguide.serve.door import Door
from honeyguide.serve.endpoint import Bare, Endpoint
from honeyguide.serve.gorse import Gorse
from honeyguide.serve.limits import Rates, body_of, check_text
from honeyguide.serve.metrics import MEDIA_TYPE as METRICS_TYPE
from honeyguide.serve.metrics import Metrics
from honeyguide.serve.openapi import openapi
from honeyguide.serve.personalizer import Personalizer
from honeyguide.serve.problems import (
    BUSY,
    MEDIA_TYPE,
    NO_ROUTE,
    NO_SCOPE,
    WRONG_METHOD,
    Refusal,
    headers_of,
    problem_of,
)
from honeyguide.serve.renewal import Renewal
from honeyguide.serve.shared_rates import SharedRates
from honeyguide.serve.tracing import Marks, Tracing
from honeyguide.serve.worker import Worker
from honeyguide.shop.honeyguide import Honeyguide

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_MOST_PREPARING = 8
_log = logging.getLogger("honeyguide.serve")
_JSON = "application/json"
_POLICY = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    "x-frame-options": "DENY",
}
_Answers: TypeAlias = Callable[[Request], Awaitable[Response]]
_encode = msgspec.json.Encoder().encode


def create_app(
    shop: Honeyguide,
    *,
    keys: Keys,
    most_waiting: int = 128,
    most_wait_s: float = 0.075,
    clock: Callable[[], float] = time.monotonic,
    reopen: Callable[[], Honeyguide] | None = None,
    tracing: Tracing | None = None,
    shared: Path | None = None,
) -> Starlette:
    """The service, which closes the shop when it ends.

    As long as there are no `keys` it answers only what was asked of this machine by one of its own names. Where the
    shop was fitted anew it is opened by `reopen`, and takes over between two requests. One request more than
    `most_waiting`, or one that is expected to wait longer than `most_wait_s`, is told to come again. `clock` gives
    seconds, to measure and to limit by. `tracing` is told of every request. Where several processes answer at one
    port `shared` is the folder in which they keep their figures and the keys' rates together.
    """
    renewal = None if reopen is None else Renewal(reopen)
    worker = Worker(shop, most=most_waiting, most_s=most_wait_s, clock=clock, renewal=renewal)
    rates = Rates() if shared is None else SharedRates(shared)
    service = _Service(worker, keys, clock, tracing, Metrics(worker, shared=shared), rates)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        worker.start()
        yield
        worker.stop()
        try:
            worker.shop.close()
        except JournalError as error:  # the next start learns from the journal what is not stored
            _log.error("not saved", extra={"facts": {"error": type(error).__name__}})
        if tracing is not None:
            tracing.close()

    known = endpoints()
    described = openapi(known)
    spec, html = _encode(described), page(known, described)
    app = Starlette(
        routes=[
            *(service.route(endpoint) for endpoint in known),
            Route("/healthz", _always(b'{"status":"ok"}')),
            Route("/readyz", service.ready),
            Route("/metrics", service.metrics_page),
            Route("/openapi.json", _always(spec)),
            *scripts.routes(),
            Route("/docs", _always(html, "text/html; charset=utf-8", _POLICY)),
        ],
        lifespan=lifespan,
        middleware=[
            *_from_browsers(shop.settings.serve.origins),
            Middleware(Door, full=lambda: worker.full, turned=service.metrics.turned_away),
        ],
        exception_handlers={HTTPException: _unrouted, Exception: _broken},
    )
    app.router.redirect_slashes = False
    return app


def _from_browsers(origins: tuple[str, ...]) -> list[Middleware]:
    """What lets pages of these sites ask."""
    if not origins:
        return []
    headers = ("authorization", "content-type")
    return [Middleware(CORSMiddleware, allow_origins=origins, allow_methods=("POST",), allow_headers=headers)]


def endpoints() -> tuple[Endpoint, ...]:
    """All endpoints of one service."""
    personalizer, gorse = Personalizer(), Gorse()

    def forget(user_id: str) -> None:
        personalizer.forget(user_id)
        gorse.forget(user_id)

    own = (
        *deciding.ENDPOINTS,
        *recording.ENDPOINTS,
        *stocking.ENDPOINTS,
        *knowing.endpoints(forget),
        *releasing.ENDPOINTS,
    )
    return own + personalizer.endpoints + gorse.endpoints


class _Service:
    """Takes requests to the worker and back, and says what became of them."""

    def __init__(
        self,
        worker: Worker,
        keys: Keys,
        clock: Callable[[], float],
        tracing: Tracing | None,
        metrics: Metrics,
        rates: Rates,
    ) -> None:
        self.metrics = metrics
        self._worker = worker
        self._keys = keys
        self._rates = rates
        self._preparing, self._one_at_once = 0, asyncio.Lock()
        self._clock = clock
        self._tracing = tracing

    def route(self, endpoint: Endpoint) -> Route:
        """The endpoint's route."""
        decoder = _decoder(endpoint.reads or endpoint.asks)

        async def answer(request: Request) -> Response:
            start, key = self._clock(), None
            marks = None if self._tracing is None else Marks()
            try:
                key = self._admitted(request, endpoint)
                asked = await _asked(endpoint, decoder, request)
                if endpoint.prepare is not None:
                    asked = await self._prepared(endpoint.prepare, asked)
                told, entries = await self._worker.submit(endpoint, asked, marks)
                content = b"" if told is None else _encode(told.body if isinstance(told, Bare) else told)
                response = Response(content, endpoint.status, media_type=None if told is None else _JSON)
                self.metrics.recorded(entries)
            except Exception as error:
                response = refused(error)
            self._note(endpoint, response.status_code, self._clock() - start, key)
            if self._tracing is not None and marks is not None:
                self._tracing.told(endpoint, response.status_code, marks, request.headers, response.headers)
            return response

        return Route(endpoint.path, answer, methods=[endpoint.method], name=endpoint.name)

    async def _prepared(self, prepare: Callable[[Honeyguide, Any], Struct], asked: Struct) -> Struct:
        if self._preparing >= _MOST_PREPARING:
            raise Refusal(BUSY, "too many requests are being read: try again", headers={"retry-after": "1"})
        self._preparing += 1
        try:
            async with self._one_at_once:  # it may take every core
                return await asyncio.to_thread(prepare, self._worker.shop, asked)
        finally:
            self._preparing -= 1

    async def ready(self, request: Request) -> Response:
        """Whether requests are served now."""
        fine = self._worker.alive and self._worker.trouble is None
        said = "ready" if fine else (self._worker.trouble or "stopped")
        return Response(_encode({"status": said}), 200 if fine else 503, media_type=_JSON)

    async def metrics_page(self, request: Request) -> Response:
        """What Prometheus is told; where there are keys it takes one that may read."""
        try:
            self._at_home(request, self._keys.admit(request.headers, "read"))
        except Exception as error:
            return refused(error)
        return Response(self.metrics.text(), media_type=METRICS_TYPE)

    def _admitted(self, request: Request, endpoint: Endpoint) -> Key | None:
        key = self._keys.admit(request.headers, endpoint.scope)
        self._at_home(request, key)
        self._rates.check(key, self._clock())
        check_text(request)
        return key

    def _at_home(self, request: Request, key: Key | None) -> None:
        # a page of another site may reach this machine under a name of its own: without keys that is refused
        if key is None and request.url.hostname not in LOOPBACK:
            raise Refusal(NO_SCOPE, f"without keys only {', '.join(LOOPBACK)} is served: make a key")

    def _note(self, endpoint: Endpoint, status: int, seconds: float, key: Key | None) -> None:
        self.metrics.request(endpoint.name, status, seconds)
        facts = {"method": endpoint.method, "route": endpoint.template, "status": status}
        facts |= {"ms": round(seconds * 1000, 2), "key": None if key is None else key.key_id}
        _log.info("request", extra={"facts": facts})


def refused(error: Exception) -> Response:
    """The response to a request that failed; what we do not know how to tell is logged, without its values."""
    problem = problem_of(error)
    if problem.status >= 500 and not isinstance(error, Refusal):
        where = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        _log.error("failed", extra={"facts": {"error": type(error).__name__, "where": where}})
    return Response(_encode(problem), problem.status, headers_of(error), MEDIA_TYPE)


def _decoder(asks: type[Struct]) -> msgspec.json.Decoder[Any]:
    if not issubclass(asks, Bare):
        return msgspec.json.Decoder(asks)
    (field,) = msgspec.structs.fields(asks)
    return msgspec.json.Decoder(field.type)


async def _asked(endpoint: Endpoint, decoder: msgspec.json.Decoder[Any], request: Request) -> Struct:
    if not endpoint.has_body:
        values = {**request.query_params, **request.path_params}
        return msgspec.convert(values, endpoint.asks, strict=False)
    body = await body_of(request, largest=endpoint.largest)
    if issubclass(endpoint.asks, Bare):
        return endpoint.asks(decoder.decode(body))
    if not request.path_params:
        return cast("Struct", decoder.decode(body))
    read = msgspec.json.decode(body, type=dict[str, Any])
    return msgspec.convert(read | request.path_params, endpoint.asks)


def _always(content: bytes, media_type: str = _JSON, headers: dict[str, str] | None = None) -> _Answers:
    async def answer(request: Request) -> Response:
        return Response(content, headers=headers, media_type=media_type)

    return answer


async def _unrouted(request: Request, error: Exception) -> Response:
    """No such route, or not with this method."""
    wrong = isinstance(error, HTTPException) and error.status_code == 405
    kind = WRONG_METHOD if wrong else NO_ROUTE
    headers = error.headers if isinstance(error, HTTPException) else None
    return refused(Refusal(kind, "see /docs for what there is", headers=dict(headers or {})))


async def _broken(request: Request, error: Exception) -> Response:
    """What no endpoint caught."""
    return refused(error)
