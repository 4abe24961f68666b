"""The API is what its description says: every path is there, and every answer has the declared shape."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from honeyguide.serve.app import endpoints
from honeyguide.serve.endpoint import Bare, Endpoint
from honeyguide.serve.problems import KINDS
from tests.fitted import copy_of, fitted_anew, fitted_shop
from tests.serve_fixture import Served, served
from tests.shop_fixture import NOW

_READ = [{"FeedbackType": "read", "UserId": "u", "ItemId": "sku-1"}]
BODIES: dict[str, Any] = {
    "decide": {"user_id": "user-1", "k": 1, "decision_id": "page", "candidates": ["sku-1"]},
    "feedback": {"decision_id": "page", "item_id": "sku-1", "kind": "click"},
    "events": {
        "events": [
            {"event_id": "e", "time": NOW.isoformat(), "user_id": "u", "kind": "view", "item_id": "sku-1"},
            {"event_id": "refused"},
        ]
    },
    "collect": {
        "events": [
            {"event_id": "c", "time": NOW.isoformat(), "user_id": "u", "kind": "view", "item_id": "sku-1"},
            {"event_id": "paid", "time": NOW.isoformat(), "user_id": "u", "kind": "purchase"},
        ]
    },
    "put_items": {"items": [{"item_id": "new", "title": "dog food"}, {"title": "refused"}]},
    "search": {"query": "dog food"},
    "start_canary": {"share": 0.1},
    "rank": {"eventId": "event", "actions": [{"id": "sku-1"}]},
    "reward": {"value": 1},
    "gorse_feedback": _READ,
    "gorse_feedback_put": _READ,
}


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path_factory.mktemp("openapi"))
    with served(folder) as running:
        yield running


@pytest.fixture(scope="module")
def described(it: Served) -> dict[str, Any]:
    found: dict[str, Any] = it.client.get("/openapi.json").json()
    return found


_KINDS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def _check(value: Any, schema: dict[str, Any], described: dict[str, Any]) -> None:
    """`value` is what a JSON schema of the sort that we write says."""
    if "$ref" in schema:
        schema = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if schema.get("type") == "object":
        assert set(schema["required"]) <= value.keys() <= schema["properties"].keys()
        for name, one in value.items():
            _check(one, schema["properties"][name], described)
    elif schema.get("type") == "array":
        for one in value:
            _check(one, schema["items"], described)
    elif "enum" in schema:
        assert value in schema["enum"]
    else:
        allowed = schema.get("anyOf", [schema])
        inside = [one for one in allowed if "$ref" in one]
        if inside and isinstance(value, dict):
            _check(value, inside[0], described)
            return
        kinds = [_KINDS[one["type"]] for one in allowed if "type" in one]
        assert any(isinstance(value, kind) for kind in kinds), (value, schema)


def test_every_path_is_described_and_answers_as_described(it: Served, described: dict[str, Any]) -> None:
    fitted_anew(it.shop.fitted.finding.models.parent, 1)

    def ask(endpoint: Endpoint) -> tuple[int, Any]:
        path = endpoint.template.replace("{user_id}", "user-1").replace("{eventId}", "event")
        path = path.replace("{item_id}", "new")
        path = path.replace("{number}", "2")
        path += "?item_id=sku-1" if endpoint.name == "similar" else ""
        answer = it.client.request(endpoint.method, path, json=BODIES.get(endpoint.name))
        return answer.status_code, answer.json() if answer.content else None

    for endpoint in endpoints():
        operation = described["paths"][endpoint.template][endpoint.method.lower()]
        status, told = ask(endpoint)
        assert status == endpoint.status, told
        content = operation["responses"][str(status)].get("content")
        if endpoint.answers is None:
            assert (told, content) == (None, None)
            continue
        _check(told, content["application/json"]["schema"], described)
        whole = {"body": told} if issubclass(endpoint.answers, Bare) else told
        assert msgspec.convert(whole, endpoint.answers, strict=False)


def test_every_route_is_described_and_every_description_has_a_route(
    it: Served, described: dict[str, Any]
) -> None:
    paths = {endpoint.template for endpoint in endpoints()} | {"/healthz", "/readyz", "/metrics"}
    assert described["paths"].keys() == paths
    assert described["openapi"] == "3.1.0"
    for path in ("/healthz", "/readyz", "/metrics", "/docs"):
        assert it.client.get(path).status_code == 200


def test_a_problem_has_its_schema_and_every_status_is_declared(it: Served, described: dict[str, Any]) -> None:
    declared = described["paths"]["/v1/decide"]["post"]["responses"]
    assert {int(status) for status in declared} == {200, *(kind.status for kind in KINDS)}
    answer = it.client.post("/v1/decide", json={})
    _check(answer.json(), declared["422"]["content"]["application/problem+json"]["schema"], described)


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    text = msgspec.json.encode(described).decode()
    names = set(re.findall(r'"\$ref":"#/components/schemas/(\w+)"', text))
    assert names <= described["components"]["schemas"].keys()
    operations = [one for path in described["paths"].values() for one in path.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    for path, methods in described["paths"].items():
        for operation in methods.values():
            inside = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
            assert inside == set(re.findall(r"{(\w+)}", path))


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_says_all_of_it_and_needs_nothing_from_elsewhere(it: Served) -> None:
    answer = it.client.get("/docs")
    page = _Page()
    page.feed(answer.text)
    assert page.open == []
    assert sorted(page.ids) == sorted([one.name for one in endpoints()] + [kind.name for kind in KINDS])
    assert not {"script", "link", "img"} & page.names
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for endpoint in endpoints():
        assert endpoint.template in answer.text
        for field in msgspec.structs.fields(endpoint.asks):
            assert f"<code>{field.encode_name}</code>" in answer.text


def test_what_serves_loads_no_torch_and_what_does_not_serve_no_starlette() -> None:
    def loaded(statement: str) -> set[str]:
        code = f"{statement}\nimport sys; print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return set(done.stdout.split())

    assert not {"torch", "transformers", "sklearn"} & loaded("import honeyguide.serve.app")
    web = {"starlette", "uvicorn", "prometheus_client", "httpx"}
    assert not web & loaded("import honeyguide.cli.app\nfrom honeyguide import Honeyguide")


def test_web_libraries_are_imported_where_the_web_is() -> None:
    source = Path(__file__).parent.parent / "src" / "honeyguide"
    found = {
        path.relative_to(source).parts[0]
        for path in source.rglob("*.py")
        if re.search(
            r"^\s*(import|from) (starlette|uvicorn|prometheus_client)\b", path.read_text(), re.MULTILINE
        )
    }
    assert found == {"serve", "cli"}
