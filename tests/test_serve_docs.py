"""What the pages on the API tell to type works as it stands."""

from __future__ import annotations

import html
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from honeyguide.serve.app import endpoints
from honeyguide.serve.problems import KINDS
from tests.fitted import copy_of, fitted_anew, fitted_shop
from tests.serve_fixture import Served, served

PAGE = (Path(__file__).parent.parent / "docs" / "serve.md").read_text()


@pytest.fixture
def it(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Served]:
    folder = copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)
    fitted_anew(folder, 1)
    with served(folder) as running:
        yield running


def _typed(it: Served, line: str) -> tuple[str, int]:
    """What a line of curl asks, and the status of the answer."""
    words = iter(shlex.split(line)[1:])
    method, headers, body, url = "", {}, None, ""
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(words)
        else:
            url = word
    method = method or ("GET" if body is None else "POST")
    path = url.removeprefix("http://127.0.0.1:8080")
    return f"{method} {path}", it.client.request(method, path, headers=headers, content=body).status_code


def _lines(text: str) -> list[str]:
    return [line for line in text.replace("\\\n", " ").splitlines() if line.startswith("curl ")]


def test_every_line_of_the_page_works(it: Served) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    asked = dict(_typed(it, line) for block in blocks for line in _lines(block))
    assert set(asked.values()) == {200, 201, 204}
    paths = "\n".join(asked)
    for endpoint in endpoints():
        path = endpoint.template
        for name, value in (
            ("user_id", "user-17"),
            ("eventId", "event-1"),
            ("number", "2"),
            ("item_id", "sku-new"),
        ):
            path = path.replace(f"{{{name}}}", value)
        assert f"{endpoint.method} {path}" in paths


def test_every_line_of_the_served_page_works(it: Served) -> None:
    page = it.client.get("/docs").text
    blocks = re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)
    asked = [_typed(it, html.unescape(block)) for block in blocks]
    assert [line.split()[0] for line, _ in asked] == [endpoint.method for endpoint in endpoints()]
    assert re.findall(r'<a href="#(\w+)">', page) == [endpoint.name for endpoint in endpoints()]
    assert [status for _, status in asked] == [endpoint.status for endpoint in endpoints()]


def test_the_page_names_every_status_scope_and_figure(it: Served) -> None:
    said = {
        int(code) for row in re.findall(r"^\| ([\d, ]+) \|", PAGE, re.MULTILINE) for code in row.split(", ")
    }
    assert said == {kind.status for kind in KINDS}
    scopes = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert scopes == {"read", "decide", "write", "collect", "admin"}
    figures = re.findall(
        r"^# HELP (honeyguide_\w+?)(?:_total|_created)? ", it.client.get("/metrics").text, re.MULTILINE
    )
    assert {figure for figure in figures if f"`{figure}`" not in PAGE} == set()
