"""Laws of the command line: one JSON object, documented codes, and no traceback whatever a user does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from honeyguide import artifacts
from honeyguide.cli import app as command_line
from honeyguide.cli.app import exit_code, main
from honeyguide.config import FILE_NAME
from honeyguide.errors import (
    DamagedArtifact,
    HoneyguideError,
    JournalError,
    MissingExtra,
    NoArtifact,
    NoSupport,
    NoWorkspace,
    UnknownItem,
)
from honeyguide.journal.sqlite import SqliteJournal
from honeyguide.shop.workspace import Workspace
from tests.fitted import copy_of, fitted_shop
from tests.shop_fixture import SPLIT, make_workspace

AT = ["--now", "2026-06-01"]
COMMANDS = [
    "init", "validate", "import", "prepare", "fit", "decide", "feedback", "interests", "taxonomy", "similar",
    "recommend", "search", "evaluate", "report", "serve", "forget", "backup", "restore", "doctor",
    "experiment", "apprentice", "export", "demo",
]  # fmt: skip
PROGRAM = str(Path(sys.executable).parent / "honeyguide")


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on standard output."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Runner:
    """Runs commands in this process."""

    capture: pytest.CaptureFixture[str]

    def __call__(self, *words: object) -> Done:
        self.capture.readouterr()
        with pytest.raises(SystemExit) as exit:
            main([str(word) for word in words])
        out, err = self.capture.readouterr()
        assert "Traceback" not in out + err
        assert isinstance(exit.value.code, int)
        return Done(exit.value.code, out, err)

    def fails(self, code: int, *words: object) -> str:
        """The message of a command that ends with this code: the same in text and as one JSON object."""
        text, structured = self(*words), self(*words, "--json")
        assert (text.code, structured.code, text.out, structured.out) == (code, code, "", "")
        error = json.loads(structured.err)["error"]
        assert error.keys() == {"type", "message"}
        assert f"error: {error['message']}\n" in text.err
        return str(error["message"])


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setenv("COLUMNS", "100")
    return Runner(capsys)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted_shop(tmp_path_factory.getbasetemp())


@pytest.fixture
def shop(fitted: Path, tmp_path: Path) -> Path:
    return copy_of(fitted, tmp_path)


@pytest.fixture
def new(run: Runner, tmp_path: Path) -> Path:
    """A fresh workspace with two items and one event."""
    assert run("init", tmp_path / "new").code == 0
    (tmp_path / "items.csv").write_text("item_id,title\ni1,Tea\ni2,Cup\n")
    (tmp_path / "good.csv").write_text(
        "event_id,time,user_id,kind,item_id\ng,2026-01-01T00:00:00Z,u,purchase,i1\n"
    )
    assert run("import", tmp_path / "new", tmp_path / "items.csv", tmp_path / "good.csv", *AT).code == 0
    return tmp_path / "new"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_json(run: Runner, name: str) -> None:
    done = run(name, "--help")
    assert done.code == 0
    assert "--json" in done.out
    entries = re.findall(r"^  (-\S+|\S+) .*$", done.out, re.MULTILINE)
    assert len(entries) >= 3
    assert not re.search(
        r"^  --?\S+( <\S+>)?$\n  -", done.out, re.MULTILINE
    )  # an option without a word about it
    assert run(name, "-h").out == done.out


def test_every_command_is_tested() -> None:
    names = [
        one.name or getattr(one.callback, "__name__", "") for one in command_line.app.registered_commands
    ]
    assert names == COMMANDS


def test_help_is_not_cut_short(run: Runner) -> None:
    done = run("--help")
    assert "..." not in done.out.replace("[ARGS]...", "")
    assert all(name in done.out for name in COMMANDS)


def test_version(run: Runner) -> None:
    assert re.fullmatch(r"honeyguide \d+\.\d+\.\d+\n", run("--version").out)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnknownItem("x"), 3),
        (NoSupport("x"), 3),
        (NoWorkspace("x"), 4),
        (NoArtifact("x"), 4),
        (MissingExtra("torch", "train"), 4),
        (DamagedArtifact("x"), 5),
        (JournalError("x"), 5),
        (HoneyguideError("x"), 1),
    ],
)
def test_errors_have_their_documented_codes(error: HoneyguideError, code: int) -> None:
    assert exit_code(error) == code


@pytest.mark.parametrize(
    "words",
    [["bogus"], ["decide"], ["decide", "shop", "u", "--k", "x"], ["interests", "shop", "u", "--top", "0"]],
)
def test_wrong_usage_is_code_2_and_one_json_object(run: Runner, words: list[str]) -> None:
    text, structured = run(*words), run(*words, "--json")
    assert (text.code, structured.code) == (2, 2)
    assert "--help" in text.err or "-h" in text.err
    assert json.loads(structured.err)["error"]["type"] == "WrongUsage"
    assert structured.out == ""


@pytest.mark.parametrize(
    "command",
    [
        ["decide", "u"],
        ["interests", "u"],
        ["feedback", "d", "i", "click"],
        ["fit"],
        ["evaluate"],
        ["report"],
        ["import", "x.csv"],
        ["prepare"],
    ],
)
def test_a_folder_that_is_no_workspace_names_the_command_that_makes_one(
    run: Runner, tmp_path: Path, command: list[str]
) -> None:
    words = [command[0], tmp_path / "none", *command[1:]]
    assert "Run: honeyguide init" in run.fails(4, *words)


@pytest.mark.parametrize("command", [["decide", "u"], ["interests", "u"], ["evaluate"], ["report"]])
def test_a_shop_that_was_not_fitted_names_the_command(run: Runner, new: Path, command: list[str]) -> None:
    assert f"Run: honeyguide fit {new}" in run.fails(4, command[0], new, *command[1:])


def test_a_workspace_without_events_names_the_command(run: Runner, tmp_path: Path) -> None:
    assert run("init", tmp_path / "s", "--json").json == {"workspace": str(tmp_path / "s")}
    assert "Run: honeyguide import" in run.fails(4, "fit", tmp_path / "s")


def test_init_refuses_what_is_there(run: Runner, new: Path, tmp_path: Path) -> None:
    before = (new / FILE_NAME).read_bytes()
    assert "already there" in run.fails(3, "init", new, "--name", "Other")
    assert (new / FILE_NAME).read_bytes() == before
    assert "is a file" in run.fails(3, "init", tmp_path / "items.csv")
    assert "Check the path" in run.fails(3, "init", tmp_path / "items.csv" / "below")


@pytest.mark.parametrize("name", ['a "quoted" \\ name', "två\n\tlines", "\x00\x1f\x7f", "蜂蜜"])
def test_any_name_makes_a_workspace_that_can_be_read(run: Runner, tmp_path: Path, name: str) -> None:
    assert run("init", tmp_path / "s", "--name", name).code == 0
    assert Workspace.at(tmp_path / "s").settings.name == name


def test_a_name_that_is_no_text_is_refused_and_leaves_nothing(run: Runner, tmp_path: Path) -> None:
    assert "is no valid text" in run.fails(3, "init", tmp_path / "s", "--name", "\udcff")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["decide", "user-1", "--k", "0"], "k must be in 1..30"),
        (["decide", "user-1", "--k", "1000"], "got 1000"),
        (["decide", ""], "user_id must not be empty"),
        (["decide", "user-1", "--exclude", "sku-999"], "sku-999"),
        (["decide", "user-1", "--now", "yesterday"], "write it like 2026-11-23"),
        (["decide", "user-1", "--now", "0001-01-01T00:00:00+14:00"], "is no moment"),
        (["decide", "\udcff"], "is no valid text"),
        (["interests", "user-1", "--now", "2026-13-01"], "is no moment"),
        (["feedback", "no-such", "sku-1", "purchase"], "no decision 'no-such'"),
        (["evaluate", "--policy", "foo"], "there is no policy 'foo'"),
        (["evaluate", "--policy", "thompson--1"], "level must be finite and 0 or more"),
        (["report", "--out", "."], "is a folder"),
        (["fit", "--until", "2020-01-01", *AT], "choose a later --until"),
        (["fit", "--until", "soon"], "is no moment"),
    ],
)
def test_bad_input_is_code_3_and_says_what_to_do(
    run: Runner, fitted: Path, words: list[str], said: str
) -> None:
    assert said in run.fails(3, words[0], fitted, *words[1:])


def test_a_day_of_decisions(run: Runner, shop: Path) -> None:
    page = run("decide", shop, "user-3", "--k", 3, "--exclude", "sku-8", "--json", *AT).json
    assert page["user_id"] == "user-3"
    assert len(page["items"]) == 3
    assert all(
        0 < row["propensity"] <= 1 and row["why"] and row["item_id"] != "sku-8" for row in page["items"]
    )
    told = ["feedback", shop, page["decision_id"], page["items"][0]["item_id"], "purchase"]
    event = run(*told, "--value", 2.5, "--json", *AT).json
    assert (event["kind"], event["decision_id"], event["value"]) == ("purchase", page["decision_id"], 2.5)
    assert run(*told, "--value", 2.5, "--json", "--now", "2026-06-02").json == event
    assert "another content" in run.fails(3, *told, "--value", 3)
    assert run(*told, "--value", 3, "--event-id", "second").code == 0
    shown = {row["item_id"] for row in page["items"]}
    hidden = next(f"sku-{n}" for n in range(48) if f"sku-{n}" not in shown)
    assert "did not show item" in run.fails(3, *told[:3], hidden, "click")
    assert "kind must be one of" in run.fails(3, *told[:4], "buy")
    found = run("interests", shop, "user-3", "--top", 2, "--json", *AT).json
    assert [len(found["interests"]), found["user_id"]] == [2, "user-3"]
    with_journal = SqliteJournal(shop / "journal.db")
    assert with_journal.counts().events == 2
    with_journal.close()


def test_tables_fit_a_hundred_columns_and_cut_no_id(run: Runner, shop: Path) -> None:
    page = run("decide", shop, "user-3", *AT).out
    rows = re.findall(r"^ *\d+ +(sku-\d+) ", page, re.MULTILINE)
    assert len(rows) == 10
    assert re.search(r"^Decision [0-9a-f]{32}$", page, re.MULTILINE)
    beliefs = run("interests", shop, "user-3", *AT).out
    assert re.search(r"^ *Dog food  .* -?\d\.\d{3} \.\. -?\d\.\d{3}", beliefs, re.MULTILINE)
    for line in (page + beliefs).splitlines():
        assert len(line.rstrip()) <= 100 or line.startswith(("For ", "Interests of"))


@pytest.mark.parametrize("name", ["items", "users", "policy", "taxonomy", "encoder"])
def test_a_damaged_artefact_is_refused_and_made_anew_by_fit(run: Runner, shop: Path, name: str) -> None:
    until = ["--until", f"{SPLIT:%Y-%m-%d}", *AT]
    version = artifacts.current(shop / "models", name)
    before = run("decide", shop, "user-3", "--json", *AT).json
    path = shop / "models" / name / version / "arrays.safetensors"
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    if name != "encoder":  # deciding does not read text
        for command in ("decide", "interests"):
            said = run.fails(5, command, shop, "user-3")
            assert str(path) in said
            assert "honeyguide fit" in said
    assert run("fit", shop, *until, "--json").code == 0
    after = run("decide", shop, "user-3", "--json", *AT).json
    assert artifacts.current(shop / "models", "items") == artifacts.load(shop / "models", "items").version
    assert after["items"][0].keys() == before["items"][0].keys()


def test_a_damaged_journal_is_refused_and_left_as_it_is(run: Runner, shop: Path) -> None:
    journal = shop / "journal.db"
    journal.write_bytes(b"no journal at all" * 500)
    before = journal.read_bytes()
    assert str(journal) in run.fails(5, "decide", shop, "user-3")
    run.fails(5, "feedback", shop, "d", "sku-1", "click")
    assert journal.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"sede = 3", "Did you mean 'seed'?"),
        (b"[explore]\nepsilonn = 0.1", "Did you mean 'epsilon'?"),
        (b"[explore]\nepsilon = 2", "epsilon must lie in 0..1"),
        (b"[exlore]\nk = 3", "Did you mean 'explore'?"),
        (b"seed = [", "not valid TOML"),
        (b"\xff\xfe", "not valid TOML"),
    ],
)
def test_bad_settings_name_file_key_and_remedy(run: Runner, shop: Path, text: bytes, said: str) -> None:
    (shop / FILE_NAME).write_bytes(text)
    for command in (["decide", shop, "user-3"], ["fit", shop], ["evaluate", shop]):
        message = run.fails(3, *command)
        assert str(shop / FILE_NAME) in message
        assert said in message


_HEADER = b"event_id,time,user_id,kind,item_id,value\n"
_GOOD = b"a,2026-01-02T00:00:00Z,u,purchase,i1,1\n"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"b,2026-01-02T00:00:00Z,u,purchase,i9,1\n", "unknown_item"),
        (b"b,2026-01-02T00:00:00,u,purchase,i1,1\n", "time_without_zone"),
        (b"b,2026-01-02T00:00:00+02:00,u,purchase,i1,1\n", "time_not_utc"),
        (b"a,2026-01-03T00:00:00Z,u,purchase,i2,1\n", "duplicate_event_id"),
        (b"b,2026-01-02T00:00:00Z,u,purchase,i1,NaN\n", "not_finite"),
        (b"b,2026-01-02T00:00:00Z,u,buy,i1,1\n", "unknown_kind"),
        (b"b,2026-01-02T00:00:00Z,\xff\xfe,purchase,i1,1\n", "invalid_utf8"),
        (b"b,2026-01-02T00:00:00Z," + b"u" * 10_000_000 + b",purchase,i1,1\n", "field_too_long"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_row_goes_to_quarantine_and_the_good_ones_are_kept(
    run: Runner, new: Path, row: bytes, reason: str
) -> None:
    path = new.parent / "events.csv"
    path.write_bytes(_HEADER + _GOOD + row)
    report = run("import", new, path, "--json", *AT).json
    assert report["tables"]["events"] == {"read": 2, "kept": 1, "quarantined": 1, "new": 1, "stored": 2}
    (problem,) = report["problems"]
    assert (problem["reason"], problem["file"], problem["row"]) == (reason, str(path), 2)
    (aside,) = map(json.loads, Path(report["quarantine"]).read_text().splitlines())
    assert (aside["file"], aside["row"], aside["reason"]) == (str(path), 2, reason)
    text = run("import", new, path, *AT).out
    assert f"{reason}, first: {path}, row 2" in text
    assert f"Next: honeyguide fit {new}" in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"time,user_id,kind\n2026-01-01T00:00:00Z,u,purchase\n", "no column 'item_id'"),
        (b"\x89\xd1\xff,\xfe\n1,2\n", "not UTF-8"),
        (b"PK\x03\x04 a spreadsheet", "export the sheet as CSV"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_and_loses_nothing(
    run: Runner, new: Path, content: bytes, said: str
) -> None:
    bad, good = new.parent / "bad.csv", new.parent / "more.csv"
    bad.write_bytes(content)
    good.write_bytes(_HEADER + _GOOD)
    stored = {path: path.read_bytes() for path in (new / "data").glob("*.parquet")}
    message = run.fails(3, "import", new, good, bad, *AT)
    assert str(bad) in message
    assert said in message
    assert {path: path.read_bytes() for path in (new / "data").glob("*.parquet")} == stored


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none.csv"], "no such file"),
        (["items.csv", "--format", "foo"], "choose one of canonical"),
        (["items.csv", "--timezone", "Mars/Olympus"], "is no time zone"),
    ],
)
def test_an_import_that_cannot_begin_says_why(run: Runner, new: Path, words: list[str], said: str) -> None:
    assert said in run.fails(3, "import", new, new.parent / words[0], *words[1:])


@pytest.mark.slow
def test_evaluate_and_report(run: Runner, shop: Path) -> None:
    found = run("evaluate", shop, "--policy", "uniform", "--json").json
    assert {row["policy"] for row in found["policies"]} == {"tradeoff", "greedy", "uniform"}
    done = run("evaluate", shop, "--policy", "uniform")
    assert re.search(
        r"^ *Uniform +\d\.\d{3} ± \d\.\d{3} +\d\.\d{3} +\d\.\d{3} +-\d\.\d{3} ± \d\.\d{3}",
        done.out,
        re.MULTILINE,
    )
    assert max(map(len, done.out.splitlines())) <= 100
    out = shop / "deep" / "down" / "report.html"
    assert run("report", shop, "--out", out, "--json").json == {"report": str(out)}
    assert out.read_text().startswith("<!DOCTYPE html>")


@pytest.mark.slow
def test_a_shop_fitted_on_everything_has_nothing_left_to_replay(run: Runner, shop: Path) -> None:
    done = run("fit", shop, *AT)
    assert done.code == 0
    assert f"Next: honeyguide decide {shop}" in done.out
    assert "--until" in run.fails(3, "evaluate", shop)


def interruptible(command: list[str]) -> subprocess.Popen[str]:
    """The command, started so that SIGINT reaches it also where this test run itself was started to ignore it."""
    return subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.slow
def test_an_interrupted_fit_goes_on(run: Runner, tmp_path: Path) -> None:
    shop = make_workspace(tmp_path).root
    command = [PROGRAM, "fit", str(shop), *AT]
    process = interruptible(command)
    while not (shop / "data" / "clean" / "KEY").exists():  # cleaned: it is at the language model now
        time.sleep(0.02)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted: Run the same command again" in err
    assert "Traceback" not in err
    assert run("fit", shop, *AT, "--json").json["items"] == 48


@pytest.mark.slow
def test_an_interrupted_import_loses_nothing_and_goes_on(new: Path) -> None:
    many = new.parent / "many.csv"
    rows = (b"m%d,2026-01-02T00:00:00Z,u%d,purchase,i1,1\n" % (n, n % 999) for n in range(600_000))
    many.write_bytes(_HEADER + b"".join(rows))
    stored = {path: path.read_bytes() for path in (new / "data").glob("*.parquet")}
    command = [PROGRAM, "import", str(new), str(many), *AT, "--json"]
    process = interruptible(command)
    while not list((new / "data").glob(".import-*")):
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert json.loads(err)["error"]["type"] == "Interrupted"
    assert {path: path.read_bytes() for path in (new / "data").glob("*.parquet")} == stored
    again = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(again.stdout)["tables"]["events"]["stored"] == 600_001


@pytest.mark.slow
def test_two_processes_decide_at_once_and_nothing_is_lost(shop: Path) -> None:
    commands = [[PROGRAM, "decide", str(shop), f"user-{n}", "--json", *AT] for n in range(3)]
    running = [
        subprocess.Popen(one, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for one in commands
    ]
    pages = []
    for process in running:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        pages.append(json.loads(out)["decision_id"])
    journal = SqliteJournal(shop / "journal.db")
    assert [journal.decision(page).user_id for page in pages] == [f"user-{n}" for n in range(3)]
    journal.close()


def test_two_fits_or_evaluations_at_once_are_refused(run: Runner, shop: Path) -> None:
    workspace = Workspace.at(shop)
    with workspace.alone("fit"):
        assert "is running: wait" in run.fails(4, "fit", shop)
        assert "is running: wait" in run.fails(4, "prepare", shop)
    with workspace.alone("evaluate"):
        assert "is running: wait" in run.fails(4, "evaluate", shop)
        assert "is running: wait" in run.fails(4, "report", shop)
    with workspace.alone("fit"):
        pass  # what was held was let go


def test_a_reader_who_leaves_is_no_error(shop: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [PROGRAM, "decide", str(shop), "user-1", *AT], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    assert "Traceback" not in done.stderr
