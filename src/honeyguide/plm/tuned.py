"""A task that a language model was taught: its head, and what of the transformer is its own.

folder/adapter/      what was put beside the base, or all of it where all was trained
folder/head.safetensors
folder/task.json     format number, the head, how texts are cut, sha256 of the head
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from safetensors import SafetensorError
from safetensors.numpy import load as parse_arrays
from safetensors.numpy import save as dump_arrays

from honeyguide.artifacts import write_atomically
from honeyguide.errors import DamagedArtifact, InvalidInput
from honeyguide.plm.adapters.bank import Adapters
from honeyguide.plm.backbone import Backbone
from honeyguide.plm.heads.head import E, Feeding, Head, Reader
from honeyguide.plm.heads.known import head_from
from honeyguide.types import Vectors

FORMAT = 1
_ADAPTER, _HEAD, _TASK = "adapter", "head.safetensors", "task.json"


@dataclass(frozen=True, slots=True, eq=False)
class Tuned(Generic[E]):
    """A head on a backbone with the adapter `name` of its own; several may share one backbone and its `adapters`."""

    backbone: Backbone
    adapters: Adapters
    name: str
    head: Head[E]
    feeding: Feeding

    @property
    def reader(self) -> Reader:
        """The transformer with this task's adapter at work."""
        if self.name in self.adapters.names:  # not so once it was merged
            self.adapters.use(self.name)
        return Reader(self.backbone.model.base_model, self.backbone.pooling)

    def predict(self, texts: Sequence[str]) -> list[Vectors]:
        """What the head says of each text, an array a text."""
        if isinstance(texts, str):
            raise InvalidInput(
                f"predict() takes a sequence of texts, got the bare string {texts[:40]!r}: pass a list"
            )
        reader = self.reader
        learning = reader.base.training, self.head.training
        reader.eval()
        self.head.eval()
        try:
            return self.head.predict(reader, texts, self.feeding, reader.base.device)
        finally:
            reader.train(learning[0])
            self.head.train(learning[1])

    def score(self, examples: E) -> dict[str, float]:
        """How good it is on these examples: figures up to 1, higher is better."""
        return self.head.score(self.predict(examples.texts), examples)

    def merge(self) -> None:
        """Fold the adapter into the backbone, which is a plain checkpoint then; InvalidInput where that cannot be."""
        self.adapters.merge(self.name)

    def save(self, folder: Path) -> None:
        """Store the head and the adapter, without the base."""
        if self.name not in self.adapters.names:
            raise InvalidInput(
                f"the adapter {self.name} was merged: save the backbone itself, or before merging"
            )
        self.adapters.save(self.name, folder / _ADAPTER)
        data = dump_arrays(self.head.arrays())
        told = {
            "format": FORMAT,
            "head": self.head.about(),
            "max_tokens": self.feeding.max_tokens,
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        write_atomically(folder / _HEAD, data)
        write_atomically(folder / _TASK, json.dumps(told, indent=1, sort_keys=True).encode())


def open_tuned(
    backbone: Backbone, folder: Path, *, adapters: Adapters | None = None, name: str | None = None
) -> Tuned[Any]:
    """What `Tuned.save` stored, on the base it was made for; with `adapters`, beside those that are there already."""
    told, data = _read(folder)
    try:
        arrays = parse_arrays(data)
    except SafetensorError as error:
        raise DamagedArtifact(f"{folder / _HEAD}: {error}. Train it anew") from None
    head = head_from(told["head"], arrays, backbone.dim).to(backbone.model.device).eval()
    bank = adapters or Adapters(backbone.model.base_model)
    chosen = bank.load(folder / _ADAPTER, name)
    return Tuned(backbone, bank, chosen, head, Feeding.of(backbone, max_tokens=int(told["max_tokens"])))


def _read(folder: Path) -> tuple[dict[str, Any], bytes]:
    try:
        told: dict[str, Any] = json.loads((folder / _TASK).read_bytes())
        data = (folder / _HEAD).read_bytes()
    except (OSError, ValueError) as error:
        raise DamagedArtifact(f"{folder} holds no task that can be read: {error}. Train it anew") from None
    if told.get("format", 0) > FORMAT:
        raise DamagedArtifact(
            f"{folder}: format {told['format']} is newer than this Honeyguide reads. Upgrade it"
        )
    if hashlib.sha256(data).hexdigest() != told.get("sha256"):
        raise DamagedArtifact(
            f"{folder / _HEAD} is not what was written. Restore it from a backup or train it anew"
        )
    return told, data
