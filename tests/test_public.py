"""The public surface: what is exported, and what importing it drags in."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import honeyguide

_HEAVY = {"torch", "transformers", "starlette", "numpy", "duckdb", "onnxruntime", "rich", "scipy"}


def _loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_what_is_exported_is_what_all_says() -> None:
    for name in honeyguide.__all__:
        assert getattr(honeyguide, name).__name__ == name
    assert dir(honeyguide) == sorted(honeyguide.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Honeygide'"):
        _ = honeyguide.Honeygide


def test_honeyguide_is_imported_from_the_top() -> None:
    from honeyguide import Honeyguide
    from honeyguide.shop.honeyguide import Honeyguide as defined

    assert Honeyguide is defined


def test_importing_honeyguide_loads_nothing_heavy() -> None:
    assert not _HEAVY & _loaded_by("import honeyguide")


def test_the_command_line_alone_loads_none_of_what_commands_need() -> None:
    heavy = _HEAVY - {"numpy"} | {"honeyguide.types", "numpy"}
    assert not heavy & _loaded_by("import honeyguide.cli.app")


def test_an_open_shop_has_no_torch() -> None:
    loaded = _loaded_by("from honeyguide import Honeyguide")
    assert "honeyguide.shop.honeyguide" in loaded
    assert not {"torch", "transformers", "sklearn"} & loaded


def test_help_answers_before_a_person_notices() -> None:
    command = [str(Path(sys.executable).parent / "honeyguide"), "--help"]
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5  # 0.07 s alone on the machine; tests share theirs
