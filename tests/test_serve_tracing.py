"""Traces say where a request's time went and nothing of whom it was about; without being asked for there are none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from honeyguide.errors import InvalidInput, MissingExtra
from honeyguide.serve.tracing import Tracing
from tests.fitted import copy_of, fitted_shop
from tests.serve_fixture import Served, served

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)


@pytest.fixture
def told() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def it(folder: Path, told: InMemorySpanExporter) -> Iterator[Served]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(told))
    with served(folder, tracing=Tracing(provider)) as running:
        yield running


def _named(spans: Sequence[ReadableSpan], name: str) -> ReadableSpan:
    (found,) = [span for span in spans if span.name == name]
    return found


def test_a_page_is_traced_through_its_parts_and_the_callers_trace_goes_on(
    it: Served, told: InMemorySpanExporter
) -> None:
    asked = {"user_id": "a certain person", "k": 2, "decision_id": "a certain page"}
    traceparent = f"00-{TRACE}-{PARENT}-01"
    answer = it.client.post("/v1/decide", json=asked, headers={"traceparent": traceparent})
    spans = told.get_finished_spans()
    whole = _named(spans, "POST /v1/decide")
    parts = [_named(spans, name) for name in ("wait", "candidates", "policy", "journal append")]
    assert len(spans) == 5
    assert whole.context is not None
    assert f"{whole.context.trace_id:032x}" == TRACE
    assert whole.parent is not None
    assert f"{whole.parent.span_id:016x}" == PARENT
    assert answer.headers["traceresponse"] == f"00-{TRACE}-{whole.context.span_id:016x}-01"
    times = [time for part in parts for time in (part.start_time, part.end_time)]
    assert times == sorted(times, key=lambda time: time or 0)  # one after the other
    assert (whole.start_time or 0) <= (times[0] or 0)
    assert (times[-1] or 0) <= (whole.end_time or 0)
    assert all(part.parent is not None and part.parent.span_id == whole.context.span_id for part in parts)
    assert dict(whole.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/v1/decide",
        "http.response.status_code": 200,
    }
    assert "certain" not in "".join(span.to_json() for span in spans)


def test_what_fails_and_what_names_a_person_in_its_path_is_told_by_its_route(
    it: Served, told: InMemorySpanExporter
) -> None:
    assert it.client.get("/v1/users/somebody/interests").status_code == 200
    assert it.client.get("/v1/similar?item_id=nothing").status_code == 404
    names = {span.name: span for span in told.get_finished_spans()}
    status = {name: (names[name].attributes or {}).get("http.response.status_code") for name in names}
    assert status["GET /v1/users/{user_id}/interests"] == 200
    assert status["GET /v1/similar"] == 404
    assert "somebody" not in "".join(span.to_json() for span in names.values())


def test_a_caller_whose_trace_is_not_sampled_is_not_traced(it: Served, told: InMemorySpanExporter) -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-00"}
    assert it.client.post("/v1/decide", json={"user_id": "u", "k": 1}, headers=headers).status_code == 200
    assert told.get_finished_spans() == ()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"},
    ],
)
def test_where_nothing_asks_for_traces_nothing_of_it_is_loaded(environ: dict[str, str]) -> None:
    code = (
        "import sys; from honeyguide.serve.app import create_app; from honeyguide.serve.tracing import Tracing; "
        f"assert Tracing.from_environment({environ!r}) is None; "
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_cannot_be_done_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="zipkin"):
        Tracing.from_environment({"OTEL_TRACES_EXPORTER": "zipkin"})
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    with pytest.raises(MissingExtra, match=r"honeyguide\[otel\]"):
        Tracing.from_environment({"OTEL_TRACES_EXPORTER": "otlp"})


def test_a_collector_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        thread = Thread(target=collector.serve_forever)
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
        tracing = Tracing.from_environment({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SERVICE_NAME": "the-shop"})
        with served(folder, tracing=tracing) as it:
            it.decide(k=1)
        collector.shutdown()
        thread.join()
    assert {path for path, _ in got} == {"/v1/traces"}
    assert b"POST /v1/decide" in got[0][1]
    assert b"the-shop" in got[0][1]
