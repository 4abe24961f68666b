"""The documentation is true: its examples run, and it names every command, setting and exit code.

`python -m tests.test_docs` writes docs/settings.md anew.
"""

from __future__ import annotations

import ast
import csv
import inspect
import re
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from honeyguide import Honeyguide
from honeyguide.cli import app as command_line
from honeyguide.config import STAGES, Settings
from honeyguide.data.ingest import import_files
from honeyguide.data.sources.known import SOURCES
from honeyguide.fit import fit
from honeyguide.shop.workspace import Workspace, settings_toml
from honeyguide.types import Decision
from tests.shop_fixture import NOW, START, small_settings

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "docs/first-hour.md")
COMMANDS = [
    command.name or command.callback.__name__
    for command in command_line.app.registered_commands
    if command.callback
]

_INTRODUCTION = """\
# Settings

`honeyguide init` writes them all into `honeyguide.toml` with their defaults. Every key is optional; an unknown key or
a value of the wrong kind is an error that names the nearest known key. What a setting changes is computed again by
the next `honeyguide fit`; `[explore]`, `[rules]`, `[journal]`, `[serve]`, `[experiment]` and `[apprentice]` take
effect the next time the shop is opened, and `[models]` with the next fit.
"""


def settings_page() -> str:
    """docs/settings.md as the settings have it."""
    defaults: dict[tuple[str, str], str] = {}
    section = ""
    for line in settings_toml(Settings()).splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = header[1]
        elif " = " in line:
            key, value = line.split(" = ", 1)
            defaults[section, key] = value
    parts = [_INTRODUCTION, _section("At the top", "", Settings, defaults)]
    parts += [_section(f"[{name}]", name, kind, defaults) for name, kind in STAGES.items()]
    return "\n".join(parts)


def _section(title: str, name: str, kind: type[object], defaults: dict[tuple[str, str], str]) -> str:
    meanings = _meanings(kind)
    lines = [
        f"## {title}",
        "",
        (kind.__doc__ or "").strip(),
        "",
        "| key | default | meaning |",
        "| --- | --- | --- |",
    ]
    lines += [
        f"| `{key}` | `{value}` | {meanings.get(key, '')} |"
        for (of, key), value in defaults.items()
        if of == name
    ]
    return "\n".join(lines) + "\n"


def _meanings(kind: type[object]) -> dict[str, str]:
    """What the string under each field says."""
    (of,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(of, ast.ClassDef)
    found = {}
    for field, said in pairwise(of.body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(said, ast.Expr)
            and isinstance(field.target, ast.Name)
        ):
            found[field.target.id] = " ".join(str(ast.literal_eval(said.value)).split())
    return found


def test_the_settings_page_is_what_the_settings_are() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == settings_page(), "run: python -m tests.test_docs"


def test_every_setting_has_a_meaning() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(.*?)` \| (.*) \|$", settings_page(), re.MULTILINE)
    assert len(rows) == 3 + sum(len(inspect.signature(kind).parameters) for kind in STAGES.values())
    assert [key for key, _, meaning in rows if not meaning.endswith(".")] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_first_hour(name: str) -> None:
    page = (ROOT / "docs" / "first-hour.md").read_text()
    assert re.search(rf"honeyguide {name}\b", page)


def test_every_exit_code_is_documented() -> None:
    codes = {0, 1, command_line.WRONG_USAGE, command_line.INTERRUPTED}
    codes |= {code for _, code in command_line.EXIT_CODES}
    page = (ROOT / "docs" / "first-hour.md").read_text()
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} == codes
    said = command_line.__doc__ or ""
    assert all(re.search(rf"\b{code}\b", said) for code in codes)


def test_every_format_has_a_line_and_a_section_of_its_own() -> None:
    page = (ROOT / "docs" / "formats.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \|", page.split("## ")[0], re.MULTILINE)
    assert sorted(listed) == sorted(source.name for source in SOURCES)
    headings = "\n".join(re.findall(r"^## .*$", page, re.MULTILINE))
    assert all(f"(`{source.name}`)" in headings for source in SOURCES)


def test_every_cleaning_rule_and_every_reason_of_quarantine_is_in_the_page_on_data() -> None:
    page = (ROOT / "docs" / "data.md").read_text()
    source = ROOT / "src" / "honeyguide" / "data"
    cleaning = "\n".join(path.read_text() for path in sorted((source / "cleaning").glob("*.py")))
    rules = set(re.findall(r'(?:log\.drop|log\.count|RuleCount|_drop)\(\s*(?:log, )?"(\w+)"', cleaning))
    rules |= set(re.findall(r'^    "(\w+)": "', cleaning, re.MULTILINE)) - {
        "owners",
        "borrowed",
        "queries",
        "amounts",
    }
    assert {"bot", "near_duplicate", "unmatched_refund"} <= rules
    reasons = set(re.findall(r'Rule\(\s*"(\w+)"', (source / "validate.py").read_text()))
    assert {name for name in rules | reasons if f"`{name}`" not in page} == set()


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text())
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


def _ten_item_shop(folder: Path) -> Workspace:
    """A shop small enough that a page of ten holds everything, `sku-42` too."""
    with (folder / "items.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["item_id", "title"], *([f"sku-{n}", f"honey {n}"] for n in range(38, 48))]
        )
    with (folder / "events.csv").open("w", newline="") as file:
        rows = [
            [
                (START + timedelta(weeks=week, hours=user)).isoformat(),
                f"user-{user}",
                "purchase",
                f"sku-{38 + (user + week % 3) % 10}",
            ]
            for user in range(20)
            for week in range(16)
        ]
        csv.writer(file).writerows([["time", "user_id", "kind", "item_id"], *rows])
    workspace = Workspace.create(folder / "shop", small_settings(folder))
    import_files(workspace.data, [folder / "events.csv", folder / "items.csv"], now=NOW)
    fit(workspace, now=NOW)
    return workspace


@pytest.fixture(scope="module")
def beside_a_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documented")
    _ten_item_shop(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_python_examples_run(page: str, beside_a_shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(beside_a_shop)
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        names: dict[str, object] = {}
        exec(compile(block, page, "exec"), names)
        shop, decision = names["shop"], names["decision"]
        assert isinstance(shop, Honeyguide)
        assert isinstance(decision, Decision)
        assert shop.journal.counts().events > 0
        assert shop.interests(decision.user_id)
        shop.close()


if __name__ == "__main__":
    (ROOT / "docs" / "settings.md").write_text(settings_page())
