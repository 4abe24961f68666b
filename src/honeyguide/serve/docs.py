"""`/docs`: one page without scripts that says what there is, made of the same description as /openapi.json."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import escape
from typing import Any

from honeyguide.serve.endpoint import Endpoint
from honeyguide.serve.problems import KINDS

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h2 { margin: 2.5rem 0 0; } code, pre { font: 14px/1.45 ui-monospace, monospace; }
pre { background: #f6f3ea; padding: .8rem; white-space: pre-wrap; overflow-wrap: anywhere; border-radius: 6px; }
.method { background: #8a5a00; color: #fff; border-radius: 4px; padding: .1rem .5rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .25rem .8rem .25rem 0; }
td, th { border-bottom: 1px solid #ddd; vertical-align: top; } .scope { color: #666; }
.contents { columns: 2 20rem; list-style: none; padding: 0; }
@media (prefers-color-scheme: dark) {
  body { background: #1b1a17; color: #e8e4d8; } pre { background: #2a2823; } td, th { border-color: #444; }
  .scope { color: #aaa; } a { color: #f0b94a; }
}
"""
_SEEN = {
    "event_id": "page-1:sku-42:impression",
    "time": "2026-01-05T10:00:00Z",
    "user_id": "user-17",
    "kind": "impression",
    "item_id": "sku-42",
}
_READ = {
    "FeedbackType": "read",
    "UserId": "user-17",
    "ItemId": "sku-42",
    "Timestamp": "2026-01-05T10:00:00Z",
}
_EXAMPLES: dict[str, Any] = {
    "decide": {"user_id": "user-17", "candidates": ["sku-42", "sku-43"], "k": 2, "decision_id": "page-1"},
    "feedback": {"decision_id": "page-1", "item_id": "sku-42", "kind": "click"},
    "events": {
        "events": [
            {
                "event_id": "e-1",
                "time": "2026-01-05T10:00:00Z",
                "user_id": "user-17",
                "kind": "view",
                "item_id": "sku-42",
            }
        ]
    },
    "collect": {"events": [_SEEN]},
    "put_items": {
        "items": [
            {"item_id": "sku-new", "title": "Linden honey 500 g", "category": "Pantry > Honey", "price": 8.5}
        ]
    },
    "search": {"query": "honey", "user_id": "user-17"},
    "start_canary": {"share": 0.1},
    "rank": {
        "eventId": "event-1",
        "contextFeatures": [{"user_id": "user-17"}],
        "actions": [{"id": "sku-42"}, {"id": "sku-43"}],
    },
    "reward": {"value": 1.0},
    "gorse_feedback": [_READ],
    "gorse_feedback_put": [_READ],
}
"""A body that can be sent, for each endpoint that reads one."""
_IN_PATHS = {"item_id": "sku-new", "user_id": "user-17", "eventId": "event-1", "number": "2"}


def page(endpoints: Sequence[Endpoint], described: dict[str, Any]) -> bytes:
    """The page as HTML."""
    parts = [_section(endpoint, described) for endpoint in endpoints]
    rows = "".join(
        f'<tr id="{kind.name}"><td>{kind.status}</td><td><code>{kind.name}</code></td><td>{kind.title}</td></tr>'
        for kind in KINDS
    )
    links = "".join(
        f'<li><a href="#{one.name}">{one.method} {escape(one.template)}</a></li>' for one in endpoints
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Honeyguide API</title><style>{_STYLE}</style></head><body>
<h1>Honeyguide API</h1>
<p>{escape(described["info"]["description"])} The same for programs: <a href="/openapi.json">openapi.json</a>
(OpenAPI {described["openapi"]}). Where the shop has keys, send one as <code>Authorization: Bearer hg_...</code>.</p>
<ul class="contents">{links}</ul>
{"".join(parts)}
<h2>Problems</h2>
<p>Errors are <code>application/problem+json</code> (RFC 9457) with <code>type</code>, <code>title</code>,
<code>status</code> and <code>detail</code>. 429 and 503 say in <code>Retry-After</code> when to try again.</p>
<table><tr><th>status</th><th>type</th><th>title</th></tr>{rows}</table>
</body></html>
""".encode()


def _section(endpoint: Endpoint, described: dict[str, Any]) -> str:
    operation = described["paths"][endpoint.template][endpoint.method.lower()]
    schemas = described["components"]["schemas"]
    if endpoint.has_body:
        fields = _fields(schemas[endpoint.asks.__name__])
    else:
        fields = {}
    fields |= {one["name"]: (one["schema"], one["required"]) for one in operation.get("parameters", ())}
    rows = "".join(_row(name, of, required, schemas) for name, (of, required) in fields.items())
    table = f"<table><tr><th>field</th><th>type</th><th></th></tr>{rows}</table>" if rows else ""
    answers = {} if endpoint.answers is None else schemas[endpoint.answers.__name__]
    told = ", ".join(f"<code>{name}</code>" for name in answers.get("properties", ()))
    told = told or (escape(_kind(answers, schemas)) if answers else "nothing")
    return f"""<h2 id="{endpoint.name}"><span class="method">{endpoint.method}</span>
<code>{escape(endpoint.template)}</code></h2>
<p>{_prose(endpoint.summary)} <span class="scope">Scope: {endpoint.scope}.</span></p>
{table}<p>{_prose(answers.get("description", ""))} Answers {told}.</p><pre>{escape(_curl(endpoint))}</pre>
"""


def _fields(asks: dict[str, Any]) -> dict[str, tuple[dict[str, Any], bool]]:
    """The schema of each field, and whether it is required; a bare list is a field by itself."""
    if "properties" not in asks:
        return {"body": (asks, True)}
    return {name: (of, name in asks.get("required", ())) for name, of in asks["properties"].items()}


def _row(name: str, of: dict[str, Any], required: bool, schemas: dict[str, Any]) -> str:
    unsaid = of.get("default")
    said = "required" if required else f"default {json.dumps(unsaid)}" if unsaid else "optional"
    return (
        f"<tr><td><code>{name}</code></td><td>{escape(_kind(of, schemas))}</td><td>{escape(said)}</td></tr>"
    )


def _prose(text: str) -> str:
    """The text, with what stands in backticks as code."""
    return re.sub(r"`(.*?)`", r"<code>\1</code>", escape(text))


def _kind(of: dict[str, Any], schemas: dict[str, Any]) -> str:
    """The type of a field in a few words."""
    if "$ref" in of:
        name = of["$ref"].rpartition("/")[2]
        return f"{name}: {', '.join(schemas[name]['properties'])}"
    if "anyOf" in of:
        return " or ".join(_kind(one, schemas) for one in of["anyOf"] if one.get("type") != "null")
    if "enum" in of:
        return ", ".join(map(str, of["enum"]))
    if of.get("type") == "array":
        most = f", at most {of['maxItems']:,}" if "maxItems" in of else ""
        return f"list of {_kind(of['items'], schemas)}{most}"
    low, high = of.get("minimum"), of.get("maximum")
    bounds = "" if low is None else f" {low:g} to {high:g}"
    return f"{of.get('format') or of.get('type', 'anything')}{bounds}"


def _curl(endpoint: Endpoint) -> str:
    path = endpoint.template
    for name, value in _IN_PATHS.items():
        path = path.replace(f"{{{name}}}", value)
    if endpoint.name == "similar":
        path += "?item_id=sku-42"
    if not endpoint.has_body:
        method = "" if endpoint.method == "GET" else f" -X {endpoint.method}"
        return f"curl{method} 'http://127.0.0.1:8080{path}'"
    body = json.dumps(_EXAMPLES[endpoint.name])
    method = "" if endpoint.method == "POST" else f" -X {endpoint.method}"
    return f"curl{method} http://127.0.0.1:8080{path} -H 'content-type: application/json' -d '{body}'"
