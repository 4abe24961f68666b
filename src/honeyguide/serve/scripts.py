"""`/honeyguide.js` and its types: files for browsers, which are kept for an hour and then asked for by their hash."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_TYPES = {
    "honeyguide.js": "text/javascript; charset=utf-8",
    "honeyguide.d.ts": "application/typescript; charset=utf-8",
}


def routes() -> list[Route]:
    """A route for each file."""
    return [_route(name, media_type) for name, media_type in _TYPES.items()]


def _route(name: str, media_type: str) -> Route:
    content = files("honeyguide.serve").joinpath("browser", name).read_bytes()
    headers = {
        "cache-control": "public, max-age=3600",
        "etag": f'"{sha256(content).hexdigest()[:32]}"',
        "cross-origin-resource-policy": "cross-origin",  # a page of the shop is another origin
        "x-content-type-options": "nosniff",
    }

    async def answer(request: Request) -> Response:
        if headers["etag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=media_type)

    return Route(f"/{name}", answer)
