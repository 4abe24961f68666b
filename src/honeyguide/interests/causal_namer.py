"""Names as a causal language model would go on: these products stand, in a shop, under this name."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from honeyguide.artifacts import key_of
from honeyguide.interests.namers import Meaning
from honeyguide.plm.backbone import open_backbone
from honeyguide.types import Floats

if TYPE_CHECKING:
    from honeyguide.plm.backbone import Backbone

_TITLE_CHARS = 60
_NAMES = 8  # of a node that are scored: reading one takes as long as the encoder takes for dozens
_BATCH = 64  # names scored at a time
_LONGEST_NAME = 16  # tokens
_ASKED = "In a shop they stand under:"


class CausalNamer:
    """Prefers names that the products make likely: the mean gain in log-likelihood over not knowing the products.

    Likelihood alone would prefer what is often said of anything.
    """

    def __init__(self, backbone: Backbone, version: str) -> None:
        self.backbone = backbone
        self._version = version

    @classmethod
    def open(cls, checkpoint: str) -> Self:
        """From a checkpoint (a folder, a package that carries weights, or a hub name); InvalidInput, MissingExtra."""
        backbone = open_backbone(checkpoint, "causal")
        backbone.model.eval()
        return cls(backbone, f"causal {key_of(checkpoint)[:12]}")

    @property
    def version(self) -> str:
        """That of the checkpoint's name."""
        return self._version

    def prefer(self, meanings: Sequence[Meaning], names: Sequence[Sequence[str]]) -> list[Floats]:
        """What each node's products add to the mean log-likelihood of a token of each of its names.

        Names stand with the likeliest first: those after the first few are held to be liked as little as the least.
        """
        if not meanings:
            return []
        beyond = [max(len(some) - _NAMES, 0) for some in names]
        names = [some[:_NAMES] for some in names]
        distinct = list(dict.fromkeys(name for some in names for name in some))
        blocks = [distinct[start : start + _BATCH] for start in range(0, len(distinct), _BATCH)]
        alone = {
            name: score
            for block in blocks
            for name, score in zip(block, self._likelihoods(_ASKED, block), strict=True)
        }
        preferred = []
        for meaning, some, rest in zip(meanings, names, beyond, strict=True):
            told = "; ".join(" ".join(title.split())[:_TITLE_CHARS] for title in meaning.examples)
            known = self._likelihoods(f"These products: {told}. {_ASKED}", some)
            gained = known - np.array([alone[name] for name in some])
            preferred.append(np.append(gained, np.full(rest, gained.min())))
        return preferred

    def _likelihoods(self, prompt: str, names: Sequence[str]) -> Floats:
        """(n,): the mean log-likelihood of each name's tokens after the prompt, which is read once."""
        asked = [self.backbone.special.first, *self._ids(prompt)][: self.backbone.longest - _LONGEST_NAME]
        told = [self._ids(f" {name}")[:_LONGEST_NAME] for name in names]
        lengths = torch.tensor([len(ids) for ids in told])
        # what stands behind a name does not reach it: any token may fill the rows up
        ids = torch.tensor([[*ids, *([0] * (int(lengths.max()) - len(ids)))] for ids in told])
        with torch.inference_mode():
            read: Any = self.backbone.model(input_ids=torch.tensor([asked]), use_cache=True)
            logits = read.logits[:, -1:].expand(len(told), -1, -1)
            if ids.shape[1] > 1:
                name = _cache_name(self.backbone.model)
                known = getattr(read, name)
                known.batch_repeat_interleave(len(told))
                further = self.backbone.model(input_ids=ids[:, :-1], **{name: known})
                logits = torch.cat([logits, further.logits], dim=1)
            said = torch.log_softmax(logits.float(), dim=-1).gather(2, ids[:, :, None])[:, :, 0]
            within = torch.arange(ids.shape[1])[None, :] < lengths[:, None]
            return ((said * within).sum(dim=1) / lengths).double().numpy()

    def _ids(self, text: str) -> list[int]:
        return list(self.backbone.fast_tokenizer.encode(text, add_special_tokens=False).ids)


def _cache_name(model: Any) -> str:  # noqa: ANN401
    """What this version of transformers calls what was read before."""
    return "cache" if "cache" in signature(model.forward).parameters else "past_key_values"
