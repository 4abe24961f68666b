"""How likely a causal language model holds what might be said next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, Self

import numpy as np
import torch

from honeyguide.plm.backbone import Backbone, open_backbone
from honeyguide.types import Floats

_LONGEST = 16  # tokens of what is said next
_BATCH = 32  # continuations read at a time


@dataclass(frozen=True, slots=True)
class Continuations:
    """A causal model that is asked what comes next."""

    backbone: Backbone

    @classmethod
    def open(cls, checkpoint: str) -> Self:
        """From a checkpoint (a folder, a package that carries weights, or a hub name); InvalidInput, MissingExtra."""
        backbone = open_backbone(checkpoint, "causal")
        backbone.model.eval()
        return cls(backbone)

    def likelihoods(self, prompt: str, texts: Sequence[str]) -> tuple[Floats, Floats]:
        """(n,) sums of the log-likelihoods of each text's tokens after the prompt, and how many tokens those are."""
        told = [self._ids(f" {text}")[:_LONGEST] for text in texts]
        sums = [self._sums(prompt, told[start : start + _BATCH]) for start in range(0, len(told), _BATCH)]
        return np.concatenate([np.zeros(0), *sums]), np.array([len(ids) for ids in told], dtype=np.float64)

    def _sums(self, prompt: str, told: list[list[int]]) -> Floats:
        """(n,): the prompt is read once, and what follows goes on from there."""
        model: Any = self.backbone.model
        asked = [self.backbone.special.first, *self._ids(prompt)][: self.backbone.longest - _LONGEST]
        longest = max(map(len, told))
        # what stands behind a text does not reach it: any token may fill the rows up
        ids = torch.tensor([[*row, *([0] * (longest - len(row)))] for row in told])
        with torch.inference_mode():
            read = model(input_ids=torch.tensor([asked]), use_cache=True)
            logits = read.logits[:, -1:].expand(len(told), -1, -1)
            if longest > 1:
                name = _cache_name(model)
                known = getattr(read, name)
                known.batch_repeat_interleave(len(told))
                further = model(input_ids=ids[:, :-1], **{name: known}).logits
                logits = torch.cat([logits, further], dim=1)
            said = torch.log_softmax(logits.float(), dim=-1).gather(2, ids[:, :, None])[:, :, 0]
            within = torch.arange(longest)[None, :] < torch.tensor([len(row) for row in told])[:, None]
            return np.asarray((said * within).sum(dim=1).double().numpy())

    def _ids(self, text: str) -> list[int]:
        return list(self.backbone.fast_tokenizer.encode(text, add_special_tokens=False).ids)


def _cache_name(model: Any) -> str:  # noqa: ANN401
    """What this version of transformers calls what was read before."""
    return "cache" if "cache" in signature(model.forward).parameters else "past_key_values"
