"""Whatever is sent, it is answered with 2xx or 4xx, teaches nothing that is no number, and reaches no file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honeyguide.serve.app import endpoints
from honeyguide.serve.endpoint import Endpoint
from tests.fitted import copy_of, fitted_shop
from tests.serve_fixture import Served, served
from tests.shop_fixture import NOW
from tests.soak import rounds
from tests.test_serve_openapi import BODIES

JSON = {"content-type": "application/json"}
ENDPOINTS = {endpoint.name: endpoint for endpoint in endpoints()}
WITH_BODY = sorted(name for name, endpoint in ENDPOINTS.items() if endpoint.has_body)
HOSTILE_IDS = (
    "\x00",
    "a\x00b",
    "x" * 100_000,
    "../../../../etc/passwd",
    "..\\..\\windows\\win.ini",
    "/etc/passwd",
    "file:///etc/passwd",
    "%2e%2e%2fetc%2fpasswd",
    "'; DROP TABLE events; --",
    "${jndi:ldap://127.0.0.1/x}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "\u202e\u0000\uffff",
    "𐍈" * 64,
)[:: rounds(4, 1)]


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path_factory.mktemp("input"))
    with served(folder) as running:
        yield running


def _path(endpoint: Endpoint, value: str = "page") -> str:
    quoted = "".join(f"%{byte:02x}" for byte in value.encode())
    for name in endpoint.in_path:
        return endpoint.template.replace(f"{{{name}}}", "1" if f"{{{name}:int}}" in endpoint.path else quoted)
    return endpoint.template


@pytest.mark.parametrize("name", WITH_BODY)
def test_a_body_of_ten_megabytes_or_ten_thousand_levels_is_refused(it: Served, name: str) -> None:
    endpoint = ENDPOINTS[name]
    deep = b"[" * 10_000 + b"]" * 10_000
    bodies = {
        413: [b'{"user_id": "' + b"u" * 10_000_000 + b'"}', b"[" * 10_000_000],
        422: [deep, b'{"events": ' + deep + b"}", b'{"x": ' + b'{"a": ' * 5_000 + b"1" + b"}" * 5_001],
    }
    for status, each in bodies.items():
        for body in each:
            answer = it.client.request(endpoint.method, _path(endpoint), content=body, headers=JSON)
            assert answer.status_code in {status, 400}
    assert it.client.get("/readyz").status_code == 200


@pytest.mark.parametrize("name", WITH_BODY)
@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe\x00",
        b'{"user_id": "\xc3\x28"}',
        b'{"user_id": "\\ud800"}',
        b'{"user_id": "\\udfff\\ud800"}',
        b'{"user_id": "a\\u0000"}',
        b"\x00",
        b"\xef\xbb\xbf{}",
        b'{"user_id": "u", "k": ' + b"9" * 5000 + b"}",
        b'{"user_id": "u", "k": 1e999}',
        b'{"user_id": "u", "k": -0}',
        b"{'user_id': 'u'}",
        b'{"user_id": "u"} {"user_id": "v"}',
        b"true",
    ],
)
def test_what_is_no_request_is_told_so(it: Served, name: str, body: bytes) -> None:
    endpoint = ENDPOINTS[name]
    answer = it.client.request(endpoint.method, _path(endpoint), content=body, headers=JSON)
    assert answer.status_code in (400, 422)
    assert answer.json()["status"] == answer.status_code


@pytest.mark.parametrize("name", WITH_BODY)
@pytest.mark.parametrize(
    "declared",
    [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "é",
        "",
        "json/application",
    ],
)
def test_only_json_is_read(it: Served, name: str, declared: str) -> None:
    endpoint = ENDPOINTS[name]
    body = json.dumps(BODIES.get(name, {})).encode()
    headers = {b"content-type": declared.encode("latin-1")}
    answer = it.client.request(endpoint.method, _path(endpoint), content=body, headers=headers)
    assert answer.status_code == 415


def test_of_a_key_that_comes_twice_the_last_counts(it: Served) -> None:
    body = (
        b'{"user_id": "first", "user_id": "last", "k": 1, "k": 2, "decision_id": "x", "decision_id": "twice"}'
    )
    page = it.client.post("/v1/decide", content=body, headers=JSON).json()
    assert (page["user_id"], page["decision_id"], len(page["items"])) == ("last", "twice", 2)
    assert it.shop.journal.decision("twice").user_id == "last"


@pytest.mark.parametrize("value", ["1e308", "-1e308", "1.7976931348623157e308", "5e-324", "-0.0", "1e17"])
def test_a_value_however_large_leaves_beliefs_finite(it: Served, value: str) -> None:
    page = it.decide("nobody", k=2)
    place = {"decision_id": page["decision_id"], "item_id": page["items"][0]["item_id"]}
    for kind in ("purchase", "click", "rating", "dismiss"):
        body = json.dumps({**place, "kind": kind}).removesuffix("}") + f', "value": {value}}}'
        answer = it.client.post("/v1/feedback", content=body.encode(), headers=JSON)
        assert answer.status_code in (200, 422)
        event = {"event_id": f"{value} {kind}", "time": NOW.isoformat(), "user_id": "nobody", "kind": kind}
        event["item_id"] = "sku-1"
        batch = json.dumps({"events": [event]}).removesuffix("}]}") + f', "value": {value}}}]}}'
        assert it.client.post("/v1/events:batch", content=batch.encode(), headers=JSON).status_code == 200
    for name, array in it.shop.policy.state().items():
        assert array.dtype.kind != "f" or np.isfinite(array).all(), name
    items = it.decide("nobody", k=5)["items"]
    assert all(math.isfinite(one["score"]) and 0 < one["propensity"] <= 1 for one in items)
    assert it.client.get("/v1/users/nobody/interests").status_code == 200


def _put(value: Any, hostile: str) -> Iterator[Any]:
    """The body again and again, each time with another of its texts replaced."""
    if isinstance(value, str):
        yield hostile
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from ({**value, key: changed} for changed in _put(inner, hostile))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from ([*value[:at], changed, *value[at + 1 :]] for changed in _put(inner, hostile))


@pytest.mark.parametrize("hostile", HOSTILE_IDS, ids=lambda text: text[:12].encode("unicode_escape").decode())
def test_no_id_in_any_place_breaks_out(it: Served, hostile: str) -> None:
    secret = Path("/etc/passwd").read_text().splitlines()[0]
    answers = []
    for name, endpoint in ENDPOINTS.items():
        for body in _put(BODIES[name], hostile) if name in BODIES else [None]:
            content = None if body is None else json.dumps(body).encode()
            answers.append(it.client.request(endpoint.method, _path(endpoint), content=content, headers=JSON))
        if endpoint.in_path and len(hostile) < 10_000:
            content = json.dumps(BODIES[name]).encode() if name in BODIES else None
            answers.append(
                it.client.request(endpoint.method, _path(endpoint, hostile), content=content, headers=JSON)
            )
    for query in ("item_id", "k", "by", "top", "n", "category", "offset", "together"):
        for path in (
            "/v1/similar",
            "/v1/users/u/interests",
            "/v1/users/u/recommendations",
            "/api/recommend/u",
        ):
            if len(hostile) < 10_000:
                answers.append(it.client.get(path, params={query: hostile}))
    for answer in answers:
        assert answer.status_code < 500, answer.request.url
        assert secret not in answer.text
        assert not answer.headers.get("content-type", "").startswith("text/html")
    assert it.client.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/honeyguide.js/../../../../etc/passwd",
        "/..%2f..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/docs/../keys.json",
        "/keys.json",
        "/honeyguide.toml",
        "/journal.db",
        "//etc/passwd",
        "/honeyguide.js%00.png",
        "/.git/config",
        "/openapi.json/..%5c..%5ckeys.json",
    ],
)
def test_no_path_leads_to_a_file(it: Served, path: str) -> None:
    answer = it.client.get(path)
    assert (answer.status_code, answer.json()["type"]) == (404, "/docs#no-route")
