"""A fit by several processes: one does it, the others help it to learn and leave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from honeyguide import artifacts
from honeyguide.artifacts import write_atomically
from honeyguide.config import FILE_NAME, Adapt, Distil, Training
from honeyguide.plm.files import LANGUAGE_MODEL, STUDENT
from honeyguide.shop.workspace import Workspace, settings_toml
from tests.fitted import copy_of, fitted_shop
from tests.ports import free_port
from tests.shop_fixture import NOW

COMMAND = "from honeyguide.cli.app import main; main()"


@pytest.mark.slow
def test_two_processes_fit_one_shop(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    workspace = Workspace.at(copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path))
    settings = workspace.settings
    settings = replace(
        settings,
        plm=replace(settings.plm, tolerance=0.95),
        training=Training(device="cpu", precision="float32"),
        adapt=Adapt(steps=4, look_every=2, batch_tokens=256, batch_pairs=8),
        distil=Distil(layers=1, steps=4, look_every=2, batch_tokens=256),
    )
    write_atomically(workspace.root / FILE_NAME, settings_toml(settings).encode())
    command = [sys.executable, "-c", COMMAND, "fit", str(workspace.root), "--now", NOW.isoformat(), "--json"]
    port = free_port()
    processes = [
        subprocess.Popen(
            command,
            env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank),
                 "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "PYTHONPATH": os.getcwd()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=240) for process in processes]
    for process, (_, errors) in zip(processes, said, strict=True):
        assert process.returncode == 0, errors.decode()
    assert b'"interests"' in said[0][0]
    assert said[1][0] == b""  # a helper has nothing to tell
    for name in (LANGUAGE_MODEL, STUDENT):
        assert len(artifacts.versions(workspace.models, name)) == 1
    for job in ("adapt", "distil"):
        lines = (workspace.cache / job / "figures" / "figures.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == [
            1,
            2,
            3,
            4,
        ]  # told once, by the one that leads
