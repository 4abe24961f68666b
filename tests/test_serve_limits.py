"""What cannot be served is refused in words (RFC 9457), and takes nothing else along."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event as Flag

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from honeyguide import Honeyguide
from honeyguide.errors import DamagedArtifact, JournalError
from honeyguide.serve.limits import LARGEST
from honeyguide.serve.problems import KINDS, problem_of
from tests.fitted import copy_of, fitted_shop
from tests.serve_fixture import Served, served

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path_factory.mktemp("limits"))
    with served(folder) as running:
        yield running


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "truncated"),
        (b"{", 400, "truncated"),
        (b"[1, 2", 422, "Expected `object`"),
        (b"null", 422, "Expected `object`"),
        (b"{}", 422, "user_id"),
        (b'{"user_id": ""}', 422, "length >= 1"),
        (b'{"user_id": "a\\u0000b"}', 422, "regex"),
        (b'{"user_id": "u", "k": 0}', 422, ">= 1"),
        (b'{"user_id": "u", "k": 1001}', 422, "<= 1000"),
        (b'{"user_id": "u", "k": NaN}', 400, "malformed"),
        (b'{"user_id": "u", "kk": 1}', 422, "unknown field `kk`"),
        (b'{"user_id": "\xff"}', 400, ""),
        (b'{"user_id": "\\ud800"}', 400, ""),
        (b'{"user_id": "u", "now": "2026-06-01T00:00:00"}', 422, "timezone"),
        (b'{"user_id": "u", "now": "0001-01-01T00:00:00+14:00"}', 422, "no time"),
        (b'{"user_id": "u", "now": "9999-01-01T00:00:00Z"}', 422, "ahead"),
        (b'{"user_id": "u", "k": 500}', 422, "k must be in"),
        (b'{"user_id": "u", "candidates": ["sku-999"]}', 404, "sku-999"),
        (b'{"user_id": "u", "rules": {"include": ["brand"]}}', 422, "like brand=Acme"),
        (b'{"user_id": "u", "rules": {"boosts": ["brand=Acme:2"]}}', 422, "ask recommend"),
        (b"[" * 100_000, 422, ""),
        (b'{"user_id": ' + b"[" * 100_000, 422, ""),
        (b'{"user_id": "' + b"u" * 300 + b'"}', 422, "length <= 256"),
    ],
)
def test_a_body_that_cannot_be_is_a_problem_of_the_caller(
    it: Served, body: bytes, status: int, said: str
) -> None:
    before = it.shop.journal.end()
    answer = it.client.post("/v1/decide", content=body, headers=JSON)
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, problem["status"]) == (status, status)
    assert problem.keys() == {"type", "title", "status", "detail"}
    assert said in problem["detail"]
    assert it.shop.journal.end() == before


@pytest.mark.parametrize("value", ["1e309", "-1e999", "NaN", "Infinity", '"much"'])
def test_a_value_that_is_no_number_teaches_nothing(it: Served, value: str) -> None:
    page = it.decide(k=1)
    end = it.shop.journal.end()
    body = f'{{"decision_id": "{page["decision_id"]}", "item_id": "{page["items"][0]["item_id"]}", '
    answer = it.client.post(
        "/v1/feedback", content=f'{body}"kind": "click", "value": {value}}}', headers=JSON
    )
    assert answer.status_code in (400, 422)
    assert it.shop.journal.end() == end


def test_a_body_that_is_too_large_is_refused_before_it_is_read(it: Served) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(LARGEST // 50_000 + 1):
            yield b" " * 50_000

    for content in (b" " * (LARGEST + 1), endless()):
        answer = it.client.post("/v1/decide", content=content, headers=JSON)
        assert (answer.status_code, answer.json()["type"]) == (413, "/docs#too-large")
    assert it.decide(k=1)


def test_only_what_is_declared_as_json_is_read(it: Served) -> None:
    for declared in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = it.client.post("/v1/decide", content=b'{"user_id": "u"}', headers={"content-type": declared})
        assert answer.status_code == 415
    plain = it.client.post(
        "/v1/decide", content=b'{"user_id": "u"}', headers={"content-type": "application/json; charset=utf-8"}
    )
    assert plain.status_code == 200


@pytest.mark.parametrize(
    "path", ["/v1/users/%ff/interests", "/v1/users/%ed%a0%80/interests", "/v1/similar?item_id=%ff"]
)
def test_a_path_that_is_no_text_is_not_read_as_another(it: Served, path: str) -> None:
    with socket.create_connection((it.client.base_url.host, it.client.base_url.port or 80)) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"/docs#no-json" in answer


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/users/u/interests?top=0", 422),
        ("GET", "/v1/users/u/interests?top=many", 422),
        ("GET", "/v1/users/u/interests?tops=1", 422),
        ("GET", "/v1/users//interests", 422),
        ("GET", "/v1/users/u/recommendations?by=magic", 422),
        ("GET", "/v1/similar", 422),
        ("GET", "/v1/similar?item_id=sku-999", 404),
        ("GET", "/v1/similar?item_id=sku-1&together=perhaps", 422),
        ("GET", "/v1/decide", 405),
        ("PUT", "/v1/users/u", 405),
        ("GET", "/v2/decide", 404),
        ("GET", "/../../etc/passwd", 404),
        ("POST", "/v1/decide/", 404),
    ],
)
def test_what_is_asked_wrongly_is_said(it: Served, method: str, path: str, status: int) -> None:
    answer = it.client.request(method, path)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"


_TEXT = st.text(st.characters(), max_size=20) | st.just("\ud800 alone")
_IDS = st.sampled_from(["user-1", "sku-1", "p", "", "\x00", "\ud800", "x" * 300]) | _TEXT
_VALUES: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _IDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_IDS, inner, max_size=3),
    max_leaves=12,
)
_FIELDS = (
    *("user_id", "surface", "k", "candidates", "exclude", "rules", "ranking", "decision_id", "now"),
    *("item_id", "kind", "event_id", "value", "time", "events", "query"),
)
_PATHS = ("/v1/decide", "/v1/feedback", "/v1/events:batch", "/v1/search")
_BODIES = st.dictionaries(st.sampled_from(_FIELDS), _VALUES, max_size=6).map(
    lambda body: json.dumps(body).encode()
) | st.binary(max_size=60)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(_PATHS), body=_BODIES)
def test_nothing_that_is_sent_breaks_the_service(it: Served, path: str, body: bytes) -> None:
    answer = it.client.post(path, content=body, headers=JSON)
    assert answer.status_code in (200, 400, 404, 409, 422)
    assert answer.json()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    user=st.text(st.characters(codec="utf-8"), max_size=20),
    query=st.dictionaries(st.sampled_from(["top", "k", "by", "x"]), st.text(max_size=5), max_size=3),
    what=st.sampled_from(["interests", "recommendations", ""]),
)
def test_nothing_that_is_asked_breaks_the_service(
    it: Served, user: str, query: dict[str, str], what: str
) -> None:
    quoted = "".join(f"%{byte:02x}" for byte in user.encode("utf-8", "surrogatepass"))
    answer = it.client.get(f"/v1/users/{quoted}/{what}", params=query)
    assert answer.status_code in (200, 404, 405, 422)
    assert answer.json()


def test_who_cannot_wait_is_told_when_to_come_again(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path_factory.mktemp("full"))
    started, go_on = Flag(), Flag()

    def held(shop: Honeyguide, user_id: str, **asked: object) -> tuple[()]:
        started.set()
        assert go_on.wait(20)
        return ()

    monkeypatch.setattr(Honeyguide, "interests", held)
    with served(folder, most_waiting=2) as it, ThreadPoolExecutor(3) as pool:
        first = pool.submit(it.client.get, "/v1/users/u/interests")
        assert started.wait(20)
        others = [pool.submit(it.client.get, "/v1/users/u/interests") for _ in range(2)]
        while "honeyguide_waiting_requests 2.0" not in it.client.get("/metrics").text:
            time.sleep(0.01)
        refused = it.client.get("/v1/models")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["type"] == "/docs#busy"
        assert it.client.get("/healthz").status_code == 200
        go_on.set()
        assert [one.result().status_code for one in (first, *others)] == [200] * 3


def test_a_journal_that_cannot_be_written_is_said_without_its_path(
    it: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(entries: object) -> int:
        raise JournalError("/srv/shop/journal.db: the disk is full")

    page = it.decide(k=1)
    with monkeypatch.context() as patch:
        patch.setattr(it.shop.journal, "append", full)
        answer = it.client.post("/v1/decide", json={"user_id": "user-1"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "/srv" not in answer.text
    assert it.feedback(page).status_code == 200


def test_what_we_did_not_expect_tells_nothing_of_us(it: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(shop: Honeyguide, user_id: str, **asked: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(Honeyguide, "interests", broken)
    answer = it.client.get("/v1/users/u/interests")
    assert (answer.status_code, answer.json()["type"]) == (500, "/docs#broken")
    assert "secret" not in answer.text
    assert it.client.get("/v1/models").status_code == 200


def test_every_kind_of_problem_has_a_name_of_its_own() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert problem_of(DamagedArtifact("/srv/models: damaged")).detail.startswith("It was logged")
