"""Checkpoints of a training job: safetensors and JSON, verified when read, replaced whole or not at all.

    folder/step-00000120/tensors.safetensors   parameters, optimiser state, best parameters so far
    folder/step-00000120/state.json            the step, what was measured, and the sha256 of the tensors

The last two of a job are kept, so that one which a crash or a bad disk has spoilt costs only the steps since the one
before. Those of another job, with a learning rate that ran away for one, are kept until there are two of the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from honeyguide.artifacts import sync
from honeyguide.errors import InvalidInput

_KEPT = 2
_TENSORS, _STATE = "tensors.safetensors", "state.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a job stood: named tensors, and JSON for everything else."""

    step: int
    tensors: Mapping[str, torch.Tensor]
    state: Mapping[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, key: str) -> None:
    """Store a checkpoint of the job that `key` names, and let go of those that are no longer needed."""
    folder.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=folder, prefix=".staging-"))
    try:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
        save_file(tensors, staging / _TENSORS)
        told = {"key": key, "step": checkpoint.step, "sha256": _sha256(staging / _TENSORS)}
        (staging / _STATE).write_text(json.dumps({**told, "state": checkpoint.state}))
        for name in (_TENSORS, _STATE):
            sync(staging / name)
        final = folder / f"step-{checkpoint.step:08d}"
        shutil.rmtree(final, ignore_errors=True)
        os.replace(staging, final)
        sync(folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    _let_go(folder, key)


def load_checkpoint(folder: Path, *, key: str) -> Checkpoint | None:
    """The newest sound checkpoint of this job; None where there is none."""
    for path in reversed(_found(folder)):
        try:
            told = json.loads((path / _STATE).read_text())
            if told["key"] == key and _sha256(path / _TENSORS) == told["sha256"]:
                return Checkpoint(int(told["step"]), load_file(path / _TENSORS), told["state"])
        except (OSError, ValueError, KeyError, SafetensorError):
            continue
    return None


def drop_checkpoints(folder: Path) -> None:
    """Let go of all checkpoints: the job is through."""
    shutil.rmtree(folder, ignore_errors=True)


def put_tensors(own: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor]) -> None:
    """Write stored tensors into a model's own; InvalidInput where they are not those of this model."""
    if own.keys() != tensors.keys():
        odd = sorted(own.keys() ^ tensors.keys())[0]
        raise InvalidInput(f"these are the tensors of another model: {odd!r} is in only one of the two")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def _found(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*")) if folder.is_dir() else []


def _let_go(folder: Path, key: str) -> None:
    own = [path for path in _found(folder) if _key_of(path) == key]
    if len(own) >= _KEPT:
        for path in set(_found(folder)).difference(own[-_KEPT:]):
            shutil.rmtree(path)


def _key_of(path: Path) -> str | None:
    try:
        return str(json.loads((path / _STATE).read_text())["key"])
    except (OSError, ValueError, KeyError):
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
