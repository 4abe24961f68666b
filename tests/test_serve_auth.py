"""Who may do what, and how often; what is kept of a key opens nothing."""

from __future__ import annotations

import json
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from honeyguide.cli.app import main
from honeyguide.errors import DamagedArtifact, InvalidInput
from honeyguide.serve.auth import FILE_NAME, SCOPES, Keys, Made
from honeyguide.serve.limits import Bucket
from tests.fitted import copy_of, fitted_shop
from tests.serve_fixture import Served, served
from tests.shop_fixture import NOW

ASKED = {
    "read": ("GET", "/v1/models"),
    "decide": ("POST", "/v1/decide"),
    "write": ("POST", "/v1/events:batch"),
    "collect": ("POST", "/v1/collect"),
    "admin": ("DELETE", "/v1/users/nobody"),
}


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)


def _made(keys: Keys, *scopes: str, seed: int = 0, rate: float = 0.0) -> Made:
    return keys.create(name="test", scopes=scopes, rate=rate, now=NOW, random=bytes([seed]) * 36)


def _status(it: Served, scope: str, key: str, header: str = "authorization") -> int:
    method, path = ASKED[scope]
    body: dict[str, Any] = {"user_id": "u"} if scope == "decide" else {"events": [{}]}
    value = f"Bearer {key}" if header == "authorization" else key
    return it.client.request(
        method, path, json=None if method != "POST" else body, headers={header: value}
    ).status_code


def test_a_key_opens_what_it_is_for_and_nothing_else(folder: Path) -> None:
    keys = Keys(folder)
    made = {scope: _made(keys, scope, seed=seed).text for seed, scope in enumerate(SCOPES)}
    with served(folder) as it:
        for scope, text in made.items():
            for asked in ASKED:
                wanted = 200 if asked == scope or scope == "admin" else 403
                assert _status(it, asked, text) == wanted
        assert _status(it, "read", made["read"], header="x-api-key") == 200


def test_what_is_no_key_opens_nothing(folder: Path) -> None:
    with served(folder) as it:
        assert it.client.get("/v1/models").status_code == 200  # as long as there are no keys
        text = _made(Keys(folder), "admin").text
        for given in ("x", text[:-1], text + "0", text[:-1] + "x", "hg_00000000_", "hg__", "é", "a_b_c_d"):
            refused = it.client.get("/v1/models", headers={b"authorization": f"Bearer {given}".encode()})
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert it.client.get("/metrics").status_code == 401
        assert it.client.get("/healthz").status_code == 200
        assert _status(it, "read", text) == 200


def test_a_revoked_key_opens_nothing_from_then_on(folder: Path) -> None:
    keys = Keys(folder)
    made = _made(keys, "read")
    with served(folder) as it:
        assert _status(it, "read", made.text) == 200
        keys.revoke(made.key.key_id, NOW)
        assert _status(it, "read", made.text) == 401
        assert it.client.get("/v1/models").status_code == 401  # the last key is gone: the door stays shut


def test_a_key_that_asks_too_often_is_told_when_to_come_again(folder: Path) -> None:
    now = [0.0]
    slow, fast = (
        _made(Keys(folder), "read", seed=seed, rate=rate).text for seed, rate in ((1, 2.0), (2, 0.0))
    )
    with served(folder, clock=lambda: now[0]) as it:
        assert [_status(it, "read", slow) for _ in range(3)] == [200, 200, 429]
        answer = it.client.get("/v1/models", headers={"x-api-key": slow})
        assert (answer.headers["retry-after"], answer.json()["type"]) == ("1", "/docs#too-many")
        assert {_status(it, "read", fast) for _ in range(9)} == {200}
        now[0] += 0.5
        assert [_status(it, "read", slow) for _ in range(2)] == [200, 429]


def test_a_bucket_gives_its_rate_and_a_second_ahead() -> None:
    bucket = Bucket(rate=10, tokens=10, at=0.0)
    taken = [step / 100 for step in range(1000) if bucket.take(step / 100) == 0]
    assert 10 * 10 <= len(taken) <= 10 * 10 + 10
    rare = Bucket(rate=0.1, tokens=1, at=0.0)
    assert rare.take(0) == 0
    assert rare.take(0) == pytest.approx(10)
    assert rare.take(10.001) == 0
    assert rare.take(5) > 0  # a clock that goes back gives nothing


def test_without_keys_only_this_machine_is_answered(folder: Path) -> None:
    with served(folder) as it:
        for host in ("evil.example", "shop.local:80"):
            refused = it.client.get("/v1/models", headers={"host": host})
            assert refused.status_code == 403
        text = _made(Keys(folder), "read").text
        answer = it.client.get("/v1/models", headers={"host": "shop.example", "x-api-key": text})
        assert answer.status_code == 200


def test_what_is_kept_opens_nothing_and_is_the_owners_alone(folder: Path) -> None:
    made = _made(Keys(folder), "read", "write")
    kept = (folder / FILE_NAME).read_text()
    assert made.text not in kept
    assert made.text.split("_")[2] not in kept
    assert stat.S_IMODE((folder / FILE_NAME).stat().st_mode) == 0o600
    assert Keys(folder).all() == (made.key,)


def test_a_key_that_cannot_be_is_refused(folder: Path) -> None:
    keys = Keys(folder)
    with pytest.raises(InvalidInput, match="scopes are among read, decide, write, collect, admin, got none"):
        _made(keys)
    with pytest.raises(InvalidInput, match="got root"):
        _made(keys, "root")
    with pytest.raises(InvalidInput, match="rate is"):
        _made(keys, "read", rate=float("nan"))
    with pytest.raises(InvalidInput, match="36 random bytes"):
        keys.create(name="", scopes=("read",), rate=0, now=NOW, random=b"few")
    with pytest.raises(InvalidInput, match=r"there is no key 'x'\. There are: none"):
        keys.revoke("x", NOW)
    _made(keys, "read")
    with pytest.raises(InvalidInput, match="already"):
        _made(keys, "read")
    (folder / FILE_NAME).write_text('{"format": 1')
    with pytest.raises(DamagedArtifact, match="make new keys"):
        Keys(folder).all()


def test_a_damaged_file_of_keys_opens_nothing(folder: Path) -> None:
    with served(folder) as it:
        (folder / FILE_NAME).write_text("{}")
        answer = it.client.get("/v1/models")
        assert answer.status_code == 500
        assert str(folder) not in answer.text


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    said = capsys.readouterr()
    return int(str(ended.value.code)), said.out, said.err


def test_keys_are_made_listed_and_revoked_from_the_command_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = str(folder)
    code, out, _ = _run(
        capsys, "keys", "create", shop, "--scope", "read", "--scope", "decide", "--rate", "5", "--json"
    )
    made = json.loads(out)
    assert (code, made["scopes"]) == (0, ["read", "decide"])
    code, out, _ = _run(capsys, "keys", "list", shop, "--json")
    (listed,) = json.loads(out)["keys"]
    assert (listed["key_id"], listed["rate"], listed["revoked"]) == (made["key_id"], 5, None)
    assert "sha256" not in out
    code, out, _ = _run(capsys, "keys", "list", shop)
    assert made["key_id"] in out
    assert made["key"] not in out
    code, out, _ = _run(capsys, "keys", "revoke", shop, made["key_id"])
    assert code == 0
    (key,) = Keys(folder).all()
    assert key.revoked is not None
    assert key.revoked - key.created < timedelta(minutes=5)
    assert _run(capsys, "keys", "create", shop, "--scope", "root")[0] == 3


def test_a_shop_without_keys_is_not_opened_to_others(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, said = _run(capsys, "serve", str(folder), "--host", "0.0.0.0", "--port", "0")
    assert code == 3
    assert "honeyguide keys create" in said
