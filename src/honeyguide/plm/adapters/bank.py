"""Several adapters on one base: each has a name, one of them or none is at work, and each can be stored by itself.

folder/adapter.safetensors   its own tensors
folder/manifest.json         format number, what it is, which base it was made for, sha256 of the tensors
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as dump_tensors

from honeyguide.artifacts import write_atomically
from honeyguide.errors import DamagedArtifact, InvalidInput
from honeyguide.plm.adapters.bottleneck import Bottleneck
from honeyguide.plm.adapters.lowrank import AdaLora, Lora
from honeyguide.plm.adapters.way import Full, HeadOnly, Placed, Way
from honeyguide.plm.train.checkpoint import put_tensors

FORMAT = 1
TENSORS, MANIFEST = "adapter.safetensors", "manifest.json"
_STEPS = 100  # a way asks how long training takes; what is loaded is not trained on
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_WAYS: Mapping[str, Callable[..., Way]] = {
    "full": Full,
    "head": HeadOnly,
    "lora": Lora,
    "adalora": AdaLora,
    "houlsby": Bottleneck,
    "pfeiffer": Bottleneck,
}


class Adapters:
    """The adapters of one model, which is changed in place; an adapter that is added is at work at once."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401
        self.model = model
        self.base = fingerprint(model)
        self._placed: dict[str, tuple[Way, Placed]] = {}
        self._whole: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All adapters, in the order in which they came."""
        return tuple(self._placed)

    def add(self, name: str, way: Way, *, steps: int = _STEPS, seed: int = 0) -> Placed:
        """Put a new adapter in, the same for the same seed, and let it alone work and be learned."""
        self._check(name, way)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            placed = way.put_on(self.model, name, steps=steps)
        self._placed[name] = (way, placed)
        if way.name == Full().name:
            self._whole = name
        self.use(name)
        self.model.requires_grad_(False)
        placed.train_own(True)
        return placed

    def use(self, name: str | None) -> None:
        """Let this adapter alone work; None gives back what the base says."""
        if name is not None and name not in self._placed:
            raise InvalidInput(f"there is no adapter {name!r}: choose from {', '.join(self.names) or 'none'}")
        for other, (_, placed) in self._placed.items():
            if other != name:
                placed.switch(False)
        if name is not None:
            self._placed[name][1].switch(True)

    def placed(self, name: str) -> Placed:
        """An adapter as it sits in the model."""
        if name not in self._placed:
            raise InvalidInput(f"there is no adapter {name!r}: choose from {', '.join(self.names) or 'none'}")
        return self._placed[name][1]

    def merge(self, name: str) -> None:
        """Fold an adapter into the base, for good; it and its name are gone then."""
        placed = self.placed(name)
        if len(self._placed) > 1:
            others = ", ".join(other for other in self.names if other != name)
            raise InvalidInput(
                f"merging {name} would change the base under {others}: load it alone onto a fresh base to merge it"
            )
        placed.merge()
        self._placed.clear()
        self._whole = None
        self.base = fingerprint(self.model)

    def save(self, name: str, folder: Path) -> None:
        """Store one adapter without the base."""
        placed = self.placed(name)
        folder.mkdir(parents=True, exist_ok=True)
        data = dump_tensors({key: tensor.detach().cpu().contiguous() for key, tensor in placed.own.items()})
        way = self._placed[name][0]
        told = {
            "format": FORMAT,
            "name": name,
            "way": way.name,
            "settings": way.settings(),
            "base": self.base,
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        write_atomically(folder / TENSORS, data)
        write_atomically(folder / MANIFEST, json.dumps(told, indent=1, sort_keys=True).encode())

    def load(self, folder: Path, name: str | None = None) -> str:
        """Put a stored adapter in, at work and not learned; returns its name, which `name` replaces.

        DamagedArtifact where a file is not what was written, InvalidInput where it was made for another base.
        """
        told, tensors = _read(folder)
        if told.get("base") != self.base:
            raise InvalidInput(
                f"the adapter in {folder} was made for another base than this model: open the checkpoint it was "
                "trained on"
            )
        chosen = name or str(told["name"])
        placed = self.add(chosen, way_from(told))
        put_tensors(placed.own, tensors)
        placed.train_own(False)
        return chosen

    def _check(self, name: str, way: Way) -> None:
        if not _NAME.fullmatch(name):
            raise InvalidInput(f"an adapter's name must match {_NAME.pattern}, got {name!r}")
        if name in self._placed:
            raise InvalidInput(f"there is an adapter {name!r} already: choose another name")
        if self._whole or (way.name == Full().name and self._placed):
            raise InvalidInput(
                "training the whole model would change the base under other adapters: open it anew"
            )


def way_from(told: Mapping[str, Any]) -> Way:
    """The way that a manifest names, with its settings; DamagedArtifact where there is none such."""
    try:
        return _WAYS[told["way"]](**told["settings"])
    except (KeyError, TypeError) as error:
        raise DamagedArtifact(
            f"the manifest names no way of training that is known here: {error}. Upgrade"
        ) from None


def fingerprint(model: Any) -> str:  # noqa: ANN401
    """sha256 of the weights that hidden states depend on: adapters fit only the base they were made for."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if name.startswith("pooler."):
            continue
        digest.update(f"\0{name}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        told: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
        data = (folder / TENSORS).read_bytes()
    except (OSError, ValueError) as error:
        raise DamagedArtifact(f"{folder} holds no adapter that can be read: {error}. Train it anew") from None
    if told.get("format", 0) > FORMAT:
        raise DamagedArtifact(
            f"{folder}: format {told['format']} is newer than this Honeyguide reads. Upgrade it"
        )
    if hashlib.sha256(data).hexdigest() != told.get("sha256"):
        raise DamagedArtifact(
            f"{folder / TENSORS} is not what was written. Restore it from a backup or train it anew"
        )
    try:
        return told, parse_tensors(data)
    except SafetensorError as error:
        raise DamagedArtifact(f"{folder / TENSORS}: {error}. Train it anew") from None
