"""docs/simulate.md is true: its examples run, and it names every world."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from honeyguide.evaluate.simulate.worlds import WORLDS

PAGE = (Path(__file__).parent.parent / "docs" / "simulate.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL))
def test_its_examples_run(code: str) -> None:
    exec(compile(code, "docs/simulate.md", "exec"), {})


def test_every_world_is_in_both_tables() -> None:
    told = re.findall(r"^\| ([a-z ]+?) \|", PAGE, flags=re.MULTILINE)
    assert told == 2 * ["world", *(world.name for world in WORLDS)]  # what they are, and what was seen
