"""Asks a rival in its own environment and reads what it answers: files go over, files come back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from honeyguide.errors import HoneyguideError, InvalidFile, NotReady
from rivals.exchange import (
    Answer,
    Events,
    Floats,
    Malformed,
    Rows,
    read_answer,
    read_users,
    write_events,
    write_targets,
    write_users,
)

BENCHMARKS = Path(__file__).parents[1]
ENVIRONMENTS = BENCHMARKS.parent / ".venv-rivals"
INPUTS = {"valid": "valid.parquet", "new_histories": "new_histories.parquet", "vectors": "vectors.npy"}
# glibc hands large blocks back to the system and fetches them anew for every batch; kept, RecTools trains about twice
# as fast
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}


class NoRival(NotReady):
    """The environment of a rival is not built."""


class RivalFailed(HoneyguideError):
    """A rival ended with an error, or took longer than it was given; what it said last is in the message."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What came back: the answer, one row per asked user, and the contents of `run.json`."""

    answer: Answer
    told: Mapping[str, Any]

    @property
    def seconds(self) -> float:
        """Of the fit, validation not counted."""
        return float(self.told["seconds_fit"])

    @property
    def sequences_per_second(self) -> float:
        """Of training; 0 where a model does not train by sequences."""
        return float(self.told["sequences_per_second"])


def prepare(
    folder: Path,
    train: Events,
    asked: Rows,
    *,
    new_histories: Events | None = None,
    held_out: tuple[Rows, Rows] | None = None,
    vectors: Floats | None = None,
) -> None:
    """Write what rivals read: `held_out` is (users, items) to validate on, row i of `vectors` is item i.

    `new_histories` stands for what is in `train` where a user is asked with another history than was learned from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file in INPUTS.values():
        (folder / file).unlink(missing_ok=True)
    write_events(folder / "train.parquet", train)
    write_users(folder / "ask.parquet", asked)
    if new_histories is not None:
        write_events(folder / INPUTS["new_histories"], new_histories)
    if held_out is not None:
        write_targets(folder / INPUTS["valid"], *held_out)
    if vectors is not None:
        np.save(folder / INPUTS["vectors"], vectors.astype(np.float32), allow_pickle=False)


def run(
    name: str,
    model: str,
    folder: Path,
    *,
    k: int = 20,
    threads: int = 2,
    timeout: float | None = None,
    keep_memory: bool = True,
    environments: Path = ENVIRONMENTS,
    **options: object,
) -> Ran:
    """Let `model` of the rival `name` learn from a prepared folder and answer in `folder/name-model`.

    `options` are those of its command line (epochs=3, loss="sampled", set={"regularization": 300}). Raises NoRival
    where the environment is missing, RivalFailed where it fails or takes more than `timeout` seconds, and InvalidFile
    where its answer is not what was agreed.
    """
    python = environments / name / "bin" / "python"
    if not python.is_file():
        raise NoRival(f"the environment of {name} is not built: {python} is not there. Run: make bench-setup")
    folder = folder.resolve()
    out = folder / f"{name}-{model}"
    out.mkdir(parents=True, exist_ok=True)
    (out / "top.parquet").unlink(missing_ok=True)
    given: dict[str, object] = {
        "train": folder / "train.parquet",
        "ask": folder / "ask.parquet",
        **{flag: folder / file for flag, file in INPUTS.items() if (folder / file).is_file()},
        "out": out,
        "model": model,
        "k": k,
        "threads": threads,
    }
    command = [str(python), "-m", f"rivals.{name}.rank", *flags(given | options)]
    _call(command, out / "errors.txt", environment(threads, keep_memory=keep_memory), timeout)
    try:
        answer = read_answer(out / "top.parquet", read_users(folder / "ask.parquet"), k)
    except Malformed as error:
        remedy = f"See {out / 'errors.txt'}, and check benchmarks/rivals/{name}"
        raise InvalidFile(out / "top.parquet", str(error), remedy) from error
    return Ran(answer, json.loads((out / "run.json").read_text()))


def flags(options: Mapping[str, object]) -> list[str]:
    """Options as a command line has them; what is None or False is left out."""
    found: list[str] = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, Mapping):
            for key, setting in value.items():
                found += [flag, f"{key}={json.dumps(setting)}"]
        elif value is True:
            found.append(flag)
        elif value is not None and value is not False:
            found += [flag, str(value)]
    return found


def environment(threads: int, *, keep_memory: bool = True) -> dict[str, str]:
    """What a rival sees of ours: where programs and temporary files are, and how many threads it may use."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    counts = {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "MKL", "OPENBLAS")}
    return kept | counts | (KEEP_MEMORY if keep_memory else {}) | {"PYTHONNOUSERSITE": "1"}


def _call(command: list[str], errors: Path, env: dict[str, str], timeout: float | None) -> None:
    sys.stdout.flush()
    with errors.open("w") as told:
        try:
            done = subprocess.run(command, cwd=BENCHMARKS, env=env, stderr=told, timeout=timeout, check=False)
        except subprocess.TimeoutExpired as error:
            raise RivalFailed(f"{command[2]} took longer than {timeout:g} s. Give it more time") from error
    if done.returncode:
        last = "\n".join(errors.read_text().splitlines()[-5:])
        raise RivalFailed(
            f"{command[2]} ended with {done.returncode}. It said last:\n{last}\nMore in {errors}"
        )
