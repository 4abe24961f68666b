"""The sequence model while it learns; `honeyguide.interests.sequence.network` is what serves."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from honeyguide.interests.sequence.histories import FIRST, GAPS
from honeyguide.interests.sequence.network import Shape
from honeyguide.interests.train.losses import Asked, loss_named
from honeyguide.interests.train.plan import SequencePlan
from honeyguide.types import EVENT_KINDS, Floats, Vectors

_SMALL = 0.02
_UNASKED = 0.1  # how often the time until what follows is not told


class SequenceModule(nn.Module):
    """Asks after every event what follows; `content` (m, c) is of n items and then of queries.

    `taken` (n,) says how many events speak for an item's own vector.
    """

    def __init__(self, content: Vectors, taken: Floats, plan: SequencePlan, device: torch.device) -> None:
        super().__init__()
        shape, items = plan.shape, len(taken)
        self.plan, self.items, self.things = plan, items, len(content)
        # what is given stays out of checkpoints, into which a module's own tensors go
        share = taken / (taken + max(plan.shrink, 1e-9))
        self._given = (torch.from_numpy(content).to(device), torch.from_numpy(share).float().to(device))
        # what is usual need not be learned: in a large catalogue that alone would take thousands of steps
        usual = np.log1p(taken) - np.log1p(taken).mean()
        self._usual = torch.from_numpy(usual).float().to(device)
        self.own = nn.Embedding(items, shape.width)
        self.bias = nn.Parameter(torch.zeros(items))
        self.content = nn.Linear(content.shape[1], shape.width, bias=False)
        self.kinds = nn.Embedding(len(EVENT_KINDS), shape.width)
        self.gaps = nn.Embedding(GAPS, shape.width)
        self.ahead = nn.Embedding(GAPS, shape.width)
        self.places = nn.Embedding(shape.longest + 1, shape.width)
        self.nobody = nn.Parameter(torch.zeros(shape.width))
        self.blocks = nn.ModuleList(_Block(shape, plan.dropout) for _ in range(shape.blocks))
        self.norm = nn.LayerNorm(shape.width)
        self.drop = Dropout(plan.dropout)
        self.loss = loss_named(plan, items)
        for table in (self.own, self.kinds, self.gaps, self.ahead, self.places):
            nn.init.normal_(table.weight, std=_SMALL)
        nn.init.normal_(self.content.weight, std=0.3 / math.sqrt(content.shape[1]))
        self.to(device)

    def forward(
        self,
        tokens: Tensor,
        kinds: Tensor,
        gaps: Tensor,
        ahead: Tensor,
        places: Tensor,
        targets: Tensor,
        negatives: Tensor,
    ) -> Tensor:
        """The loss, a scalar: see `SequenceFeed` for what is given."""
        found: Tensor = self.loss(*self.asked(tokens, kinds, gaps, ahead, places, targets, negatives))
        return found

    def asked(
        self,
        tokens: Tensor,
        kinds: Tensor,
        gaps: Tensor,
        ahead: Tensor,
        places: Tensor,
        targets: Tensor,
        negatives: Tensor,
    ) -> tuple[Asked, Tensor, Tensor, Tensor]:
        """What the loss is told: see `SequenceLoss`."""
        # what is read was or will be asked for, and half of it is usual: each thing is projected once
        things, place = torch.unique(torch.cat([tokens.flatten(), targets, negatives]), return_inverse=True)
        read, rows = place.split([tokens.numel(), len(targets) + len(negatives)])
        known = self.vectors(things)
        hidden = self.read(functional.embedding(read.view(tokens.shape), known), kinds, gaps, ahead)
        hidden = hidden.flatten(0, 1).index_select(0, places)
        vectors, bias = functional.embedding(rows, known), self.biases()[things[rows]]
        if self.plan.loss == "contrastive":
            hidden = functional.normalize(hidden, dim=-1) / self.plan.temperature
        n = len(targets)
        return (hidden, vectors[:n], bias[:n]), vectors[n:], bias[n:], targets[:, None] == negatives

    @property
    def last(self) -> Tensor:
        """The last weights that all of the loss goes through."""
        found: Tensor = self.blocks[-1].outer.weight  # type: ignore[assignment,union-attr]
        return found

    def biases(self) -> Tensor:
        """(items,): how often each is taken, by the logarithm, and what was learned beside."""
        return self._usual + self.bias

    def vectors(self, rows: Tensor) -> Tensor:
        """(..., width): those of items and queries."""
        content, shares = self._given
        things: Tensor = self.content(content[rows])
        item = rows < self.items
        own = torch.where(item, rows, 0)
        share = (shares[own] * item)[..., None]
        if self.training and self.plan.forgotten:
            share = share * (torch.rand_like(share) >= self.plan.forgotten)
        found = things + share * self.own(own)
        return functional.normalize(found, dim=-1) if self.plan.loss == "contrastive" else found

    def read(self, x: Tensor, kinds: Tensor, gaps: Tensor, ahead: Tensor) -> Tensor:
        """(b, l + 1, width): what is to come, before the first of the events (b, l, width) and after each."""
        if self.training:  # so that it can be asked without a moment, too
            ahead = torch.where(torch.rand_like(ahead, dtype=torch.float32) < _UNASKED, FIRST, ahead)
        nobody = self.nobody.expand(len(x), 1, -1)
        x = torch.cat([nobody, x + self.kinds(kinds) + self.gaps(gaps)], dim=1)
        x = self.drop(x + self.places.weight[: x.shape[1]] + self.ahead(ahead))
        for block in self.blocks:
            x = block(x)
        read: Tensor = self.norm(x)
        return read


class Dropout(nn.Module):
    """Dropout (Srivastava et al. 2014) that draws a byte for each number, so its share is a multiple of 1 / 256.

    On a CPU a float drawn for each takes a third of a step of so small a network.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.dropped = min(round(share * 256), 255)

    def forward(self, x: Tensor) -> Tensor:
        """`x` with some numbers put to 0 and the others scaled up; as it is where nothing is learned."""
        if not self.training or not self.dropped:
            return x
        if x.device.type != "cpu":
            return functional.dropout(x, self.dropped / 256)
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= self.dropped
        return x * kept.to(x.dtype).mul_(256 / (256 - self.dropped))


class _Block(nn.Module):
    """Attention to what came before, and a layer for each event; norms stand before both (Xiong et al. 2020)."""

    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        width = shape.width
        self.heads = shape.heads
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.inner, self.outer = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        users, length, width = x.shape
        both = self.mix(self.before(x)).view(users, length, 3, self.heads, width // self.heads)
        query, key, value = both.permute(2, 0, 3, 1, 4)
        # what is padded stands behind: looking back only, nobody sees it, and no mask is needed
        mixed = _attended(query, key, value)
        x = x + self.drop(self.out(mixed.transpose(1, 2).reshape(users, length, width)))
        opened = self.drop(functional.gelu(self.inner(self.after(x))))
        added: Tensor = x + self.drop(self.outer(opened))
        return added


def _attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """What each event takes from those before it, all (users, heads, length, width)."""
    if query.device.type != "cpu":
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    # in half precision the way back takes a CPU eight times as long
    with torch.autocast("cpu", enabled=False):
        return functional.scaled_dot_product_attention(
            query.float(), key.float(), value.float(), is_causal=True
        )
