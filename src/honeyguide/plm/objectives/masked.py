"""Masked language modelling: guess what stood at the places that were hidden (Devlin et al. 2019).

Whole words are hidden at once where wanted, so that a piece cannot be told from the rest of its word.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput
from honeyguide.plm.backbone import Special
from honeyguide.plm.batches import Shuffled, padded
from honeyguide.plm.tokens import Tokens
from honeyguide.plm.train.feeds import Batch, cut_places

_HIDDEN, _SWAPPED = 0.8, 0.1  # of the chosen places; the rest keep what stood there


@dataclass(frozen=True, eq=False)
class MaskedFeed:
    """Batches of texts with hidden places: `ids` and `mask` (n, length), `places` and `targets` (m,).

    `share` of each text's tokens are chosen, at least one; places count through the flattened `ids`.
    """

    tokens: Tokens
    special: Special
    order: Shuffled
    limit: int
    share: float = 0.15
    whole_words: bool = True
    seed: int = 0

    least: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.special.mask is None:
            raise InvalidInput("this checkpoint has no mask token: it cannot learn masked language modelling")
        if not 0 < self.share < 1:
            raise InvalidInput(f"share must lie between 0 and 1, got {self.share}")

    @classmethod
    def of(
        cls,
        tokens: Tokens,
        special: Special,
        *,
        max_tokens: int,
        batch_tokens: int = 4096,
        share: float = 0.15,
        whole_words: bool = True,
        seed: int = 0,
    ) -> MaskedFeed:
        """A feed over texts cut after `max_tokens`, special ones included."""
        limit = max_tokens - 2
        lengths = np.minimum(tokens.lengths, limit) + 2
        order = Shuffled(lengths, max(batch_tokens, max_tokens), seed)
        return cls(tokens, special, order, limit, share, whole_words, seed)

    def batch(self, number: int) -> Batch:
        """The batch of that number."""
        rng = np.random.default_rng([self.seed, number, 1])
        rows = [int(row) for row in self.order.batch(number)]
        texts = [self.tokens.text(row, self.limit) for row in rows]
        ids, mask = padded(texts, first=self.special.first, last=self.special.last, pad=self.special.pad)
        width = ids.shape[1]
        found = [
            self._chosen(row, len(text), rng) + 1 + place * width
            for place, (row, text) in enumerate(zip(rows, texts, strict=True))
            if len(text)
        ]
        places = np.concatenate([np.zeros(0, np.int64), *found])
        targets = ids.reshape(-1)[places].copy()
        self._hide(ids.reshape(-1), places, rng)
        return {"ids": ids, "mask": mask, "places": places, "targets": targets}

    def cut(self, batch: Batch, begin: int, end: int) -> Batch:
        """Some texts of a batch, and what is hidden in them."""
        return cut_places(batch, begin, end)

    def _chosen(self, row: int, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Ascending places of a text that are to be guessed."""
        wanted = max(1, round(self.share * n))
        if not self.whole_words:
            return np.sort(rng.choice(n, wanted, replace=False)).astype(np.int64)
        starts = np.flatnonzero(self.tokens.word_starts(row, self.limit))
        ends = np.append(starts[1:], n)
        order = rng.permutation(len(starts))
        sizes = (ends - starts)[order]
        # words in random order until the share is reached; the one that crosses it counts
        taken = order[: int(np.searchsorted(np.cumsum(sizes), wanted)) + 1]
        return np.concatenate([np.arange(starts[word], ends[word]) for word in np.sort(taken)]).astype(
            np.int64
        )

    def _hide(self, flat: NDArray[np.int64], places: NDArray[np.int64], rng: np.random.Generator) -> None:
        fate = rng.random(len(places))
        assert self.special.mask is not None  # seen to when the feed was made
        flat[places[fate < _HIDDEN]] = self.special.mask
        swapped = places[(fate >= _HIDDEN) & (fate < _HIDDEN + _SWAPPED)]
        flat[swapped] = rng.integers(0, self.special.vocabulary, len(swapped))


class MaskedLanguage(torch.nn.Module):
    """Mean cross-entropy of the hidden tokens; logits are computed at the hidden places only."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.model = model

    def forward(
        self, ids: torch.Tensor, mask: torch.Tensor, places: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        """The loss, a scalar."""
        return torch.nn.functional.cross_entropy(self.logits(ids, mask, places), targets)

    def logits(self, ids: torch.Tensor, mask: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """(m, vocabulary) float32 at the given places of the flattened batch."""
        head = getattr(self.model, "cls", None) or getattr(self.model, "lm_head", None)
        if head is None:  # an architecture whose head has another name: all places are computed
            logits: torch.Tensor = self.model(input_ids=ids, attention_mask=mask).logits
            return logits.flatten(0, 1)[places].float()
        hidden = self.model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
        found: torch.Tensor = head(hidden.flatten(0, 1)[places])
        return found.float()


def perplexity(
    module: MaskedLanguage, feed: MaskedFeed, device: torch.device, *, most: int | None = None
) -> float:
    """Exp of the mean loss over all hidden places of the feed's first epoch; always the same places are hidden.

    `most` batches are looked at where there are more: a sample, for texts share them at random.
    """
    total, count = 0.0, 0
    was_training = module.training
    module.eval()
    with torch.no_grad():
        for number in range(min(feed.order.per_epoch, most or feed.order.per_epoch)):
            batch = {k: torch.from_numpy(v).to(device) for k, v in feed.batch(number).items()}
            n = len(batch["targets"])
            total += n * float(module(**batch))
            count += n
    module.train(was_training)
    return math.exp(min(total / count, 700.0))
