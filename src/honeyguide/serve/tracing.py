"""Traces of requests by OpenTelemetry, where its environment variables ask for them: nothing of it is loaded else.

A request is one span, which goes on from the caller's `traceparent`; beneath it are the wait, candidates, policy and
journal append. Times are taken on the way and told when the answer is there, so the shop knows nothing of tracing.
No attribute holds anything that a caller chose.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from honeyguide.errors import InvalidInput, MissingExtra

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from starlette.datastructures import MutableHeaders

    from honeyguide.serve.endpoint import Endpoint

_ASKED_BY = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_NAME = "honeyguide"


class Marks:
    """When the parts of one request began and ended, in nanoseconds since 1970."""

    def __init__(self, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self.clock_ns = clock_ns
        self.start_ns = clock_ns()
        self.parts: list[tuple[str, int, int]] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What is done inside is a part of that name."""
        start_ns = self.clock_ns()
        try:
            yield
        finally:
            self.parts.append((name, start_ns, self.clock_ns()))


class Tracing:
    """Tells a provider's exporters of requests."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(_NAME)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self | None:
        """What the OTEL_* variables ask for; None where they ask for nothing. MissingExtra, InvalidInput."""
        exporter = environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower()
        off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none"
        if off or not any(environ.get(name) for name in _ASKED_BY):
            return None
        try:
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor

            told = _exporter(exporter)
        except ImportError as error:
            raise MissingExtra(error.name or "opentelemetry-sdk", "otel") from None
        name = environ.get("OTEL_SERVICE_NAME") or _NAME
        provider = TracerProvider(resource=Resource.create({"service.name": name}))
        provider.add_span_processor(BatchSpanProcessor(told))
        return cls(provider)

    def told(
        self, endpoint: Endpoint, status: int, marks: Marks, asked: Mapping[str, str], answer: MutableHeaders
    ) -> None:
        """One request is through; `traceresponse` in the answer names its span."""
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        w3c = TraceContextTextMapPropagator()
        span = self._tracer.start_span(
            f"{endpoint.method} {endpoint.template}",
            w3c.extract(asked),
            SpanKind.SERVER,
            start_time=marks.start_ns,
            attributes={
                "http.request.method": endpoint.method,
                "http.route": endpoint.template,
                "http.response.status_code": status,
            },
        )
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        context = set_span_in_context(span)
        for name, start_ns, end_ns in marks.parts:
            self._tracer.start_span(name, context, start_time=start_ns).end(end_ns)
        span.end(marks.clock_ns())
        carrier: dict[str, str] = {}
        w3c.inject(carrier, context)
        answer.update({"traceresponse": carrier["traceparent"]} if "traceparent" in carrier else {})

    def close(self) -> None:
        """Tell what was not told yet."""
        self._provider.shutdown()


def _exporter(name: str) -> SpanExporter:
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    if name == "otlp":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter()
    raise InvalidInput(f"OTEL_TRACES_EXPORTER must be otlp, console or none, got {name!r}")
