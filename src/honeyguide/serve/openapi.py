"""OpenAPI 3.1, made of the endpoints and their structs: what is documented is what is read and answered."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import msgspec

from honeyguide.serve.endpoint import Bare, Endpoint
from honeyguide.serve.problems import KINDS, MEDIA_TYPE
from honeyguide.serve.structs import Problem

_REF = "#/components/schemas/{name}"
_OPEN = (
    ("/healthz", "health", "Whether the process runs.", "application/json"),
    ("/readyz", "ready", "Whether requests are served; 503 where not.", "application/json"),
    ("/metrics", "metrics", "Figures for Prometheus.", "text/plain"),
)


def openapi(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The description of the API as JSON would hold it."""
    structs = [one for endpoint in endpoints for one in (endpoint.asks, endpoint.answers) if one is not None]
    _, schemas = msgspec.json.schema_components([*structs, Problem], ref_template=_REF)
    for schema in schemas.values():
        schema.pop("title", None)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.template, {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    for path, name, summary, media_type in _OPEN:
        answer = {"description": "The answer.", "content": {media_type: {"schema": {}}}}
        paths[path] = {"get": {"operationId": name, "summary": summary, "responses": {"200": answer}}}
    for one in dict.fromkeys(structs):
        if issubclass(one, Bare):
            schema = schemas[one.__name__]
            schemas[one.__name__] = schema["properties"]["body"] | {"description": schema["description"]}
    for endpoint in endpoints:
        if not endpoint.has_body:  # its fields are parameters
            schemas.pop(endpoint.asks.__name__, None)
            continue
        schema = schemas[endpoint.asks.__name__]
        for name in endpoint.in_path:
            del schema["properties"][name]
            schema["required"].remove(name)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Honeyguide",
            "version": version("honeyguide"),
            "description": "Decides page by page how much to explore, and learns from every reaction.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    done: dict[str, Any] = {"description": "Done."}
    if endpoint.answers is not None:
        answer = {"$ref": _REF.format(name=endpoint.answers.__name__)}
        done["content"] = {"application/json": {"schema": answer}}
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "description": f"Needs the scope `{endpoint.scope}` where the shop has keys.",
        "security": [{"key": []}, {}],
        "responses": {
            str(endpoint.status): done,
            **{str(status): _problem(status) for status in sorted({kind.status for kind in KINDS})},
        },
    }
    if endpoint.has_body:
        asks = {"$ref": _REF.format(name=endpoint.asks.__name__)}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": asks}}}
    if parameters := _parameters(endpoint, schemas[endpoint.asks.__name__]):
        operation["parameters"] = parameters
    return operation


def _parameters(endpoint: Endpoint, schema: dict[str, Any]) -> list[dict[str, Any]]:
    required = schema.get("required", ())
    return [
        {
            "name": name,
            "in": "path" if name in endpoint.in_path else "query",
            "required": name in required,
            "schema": of,
        }
        for name, of in schema.get("properties", {}).items()
        if name in endpoint.in_path or not endpoint.has_body
    ]


def _problem(status: int) -> dict[str, Any]:
    titles = "; ".join(kind.title for kind in KINDS if kind.status == status)
    schema = {"$ref": _REF.format(name="Problem")}
    return {"description": f"{titles}.", "content": {MEDIA_TYPE: {"schema": schema}}}
