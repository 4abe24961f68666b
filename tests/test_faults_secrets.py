"""Keys, passwords of databases and the names of users are in no log, error, figure or description."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest

from honeyguide.cli.app import main
from honeyguide.cli.listening import _Lines
from honeyguide.errors import HoneyguideError
from honeyguide.journal.open import open_journal
from honeyguide.serve.auth import Keys
from tests.fitted import copy_of, fitted_shop
from tests.serve_fixture import served
from tests.shop_fixture import NOW

USER, QUERY, PASSWORD = "confidential-user", "confidential query", "hunter2-secret"


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)


def test_no_log_no_figure_and_no_description_names_a_user_or_a_key(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = Keys(folder).create(name="all", scopes=("admin",), rate=0, now=NOW, random=bytes(36))
    good, bad = {"authorization": f"Bearer {made.text}"}, {"authorization": f"Bearer {made.text[:-1]}1"}
    log = logging.StreamHandler(io.StringIO())
    log.setFormatter(_Lines())
    for name in ("honeyguide.serve", "uvicorn.error"):
        monkeypatch.setattr(logging.getLogger(name), "handlers", [log])
        caplog.set_level(logging.DEBUG, logger=name)
    with served(folder) as it:
        told = []
        for headers in (good, bad):
            it.client.headers.update(headers)
            ask = it.client.post
            answers = [
                ask("/v1/decide", json={"user_id": USER, "k": 1, "decision_id": "page"}),
                ask("/v1/decide", json={"user_id": USER, "k": 0}),
                ask("/v1/feedback", json={"decision_id": "page", "item_id": USER, "kind": "click"}),
                ask("/v1/search", json={"query": QUERY, "user_id": USER}),
                ask("/v1/events:batch", json={"events": [{"event_id": "e", "user_id": USER}]}),
                it.client.get(f"/v1/users/{USER}/interests", params={"token": made.text}),
                it.client.delete(f"/v1/users/{USER}"),
            ]
            told += [answer.text for answer in answers if answer.status_code >= 400]
        it.client.headers.update(good)
        pages = [
            it.client.get(path).text for path in ("/metrics", "/openapi.json", "/docs", "/readyz", "/healthz")
        ]
    lines = log.stream.getvalue()
    assert lines.count('"event": "request"') == 14
    for text in (lines, *pages):
        for secret in (USER, QUERY, "confidential", made.text, made.text.split("_")[2], made.key.sha256):
            assert secret not in text
    for text in told:
        for secret in (made.text, made.text.split("_")[2], made.key.sha256, str(folder)):
            assert secret not in text


@pytest.mark.parametrize(
    "store",
    [
        f"postgresql://shop:{PASSWORD}@127.0.0.1:1/shops?connect_timeout=1",
        f"postgresql://shop:{PASSWORD}@127.0.0.1:no-port/shops",
        f"postgresql://shop:{PASSWORD}@127.0.0.1:1/shops?no_such_option=1",
        f"postgresql://shop:{PASSWORD}@[::1/shops",
        f"postgres://shop:{PASSWORD}@127.0.0.1:1/shops?connect_timeout=1",
        f"postgresql://127.0.0.1:1/shops?password={PASSWORD}&connect_timeout=1",
    ],
)
def test_no_error_tells_the_password_of_a_database(
    folder: Path, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(HoneyguideError) as failed:
        open_journal(store)
    assert PASSWORD not in str(failed.value)
    with pytest.raises(SystemExit):
        main(["serve", str(folder), "--port", "0", "--store", store])
    said = capsys.readouterr()
    assert PASSWORD not in said.out + said.err


def test_what_is_listed_of_keys_opens_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["keys", "create", str(folder), "--scope", "read", "--json"])
    text = json.loads(capsys.readouterr().out)["key"]
    for words in (["keys", "list", str(folder)], ["keys", "list", str(folder), "--json"]):
        with pytest.raises(SystemExit):
            main(words)
        said = capsys.readouterr()
        assert text.split("_")[2] not in said.out + said.err
