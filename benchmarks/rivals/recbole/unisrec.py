"""UniSRec (Hou et al., KDD 2022) on RecBole's SASRec: text vectors through a mixture of experts, ids on top.

RecBole has no such model; its authors publish one that derives from RecBole's SASRec. This one is the same model as
theirs when it is fine-tuned from scratch on one shop, with all experts in one matrix product and one dropout mask for
them; the pre-training on other shops is left out.
"""

# mypy: disable-error-code="import-not-found,import-untyped,misc,no-untyped-call"
from __future__ import annotations

from typing import Any, ClassVar

import torch
from recbole.model.sequential_recommender.sasrec import SASRec
from torch.nn import functional


class Experts(torch.nn.Module):
    """Linear maps of a text vector, mixed by what the vector itself says, with learned noise while training."""

    def __init__(self, dim: int, width: int, experts: int, dropout: float) -> None:
        super().__init__()
        self.shape = experts, width
        self.dropout = torch.nn.Dropout(dropout)
        self.maps = torch.nn.Linear(dim, experts * width)
        self.gate = torch.nn.Linear(dim, 2 * experts, bias=False)
        torch.nn.init.normal_(self.maps.weight, std=0.02)
        torch.nn.init.zeros_(self.maps.bias)
        torch.nn.init.zeros_(self.gate.weight)

    def forward(self, texts: torch.Tensor) -> torch.Tensor:
        """(..., dim) to (..., width)."""
        gate, noise = self.gate(texts).chunk(2, dim=-1)
        if self.training:
            gate = gate + torch.randn_like(gate) * (functional.softplus(noise) + 0.01)
        mapped = self.maps(self.dropout(texts)).unflatten(-1, self.shape)
        mixed: torch.Tensor = gate.softmax(dim=-1).unsqueeze(-2) @ mapped
        return mixed.squeeze(-2)


class UniSRec(SASRec):
    """An item is its text through the experts, plus a vector of its own where `ids`; scores are cosines."""

    SETTINGS: ClassVar = ("ids", "experts", "adaptor_dropout", "temperature")

    def __init__(
        self,
        config: Any,  # noqa: ANN401
        dataset: Any,  # noqa: ANN401
        texts: torch.Tensor,
        *,
        ids: bool = True,
        experts: int = 8,
        adaptor_dropout: float = 0.2,
        temperature: float = 0.07,
    ) -> None:
        super().__init__(config, dataset)
        self.ids = ids
        self.temperature = temperature
        self.item_embedding.requires_grad_(ids)
        self.register_buffer("texts", functional.pad(texts, (0, 0, 1, 0)))
        self.experts = Experts(texts.shape[1], self.hidden_size, experts, adaptor_dropout)

    def users(self, sequences: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Unit vectors (rows, width) of right-padded histories (rows, length)."""
        read = self.experts(self.texts[sequences])
        if self.ids:
            read = read + self.item_embedding(sequences)
        read = read + self.position_embedding(torch.arange(sequences.shape[1]))
        mask = self.get_attention_mask(sequences)
        layers = self.trm_encoder(self.dropout(self.LayerNorm(read)), mask, output_all_encoded_layers=True)
        return functional.normalize(self.gather_indexes(layers[-1], lengths - 1), dim=-1)

    def items(self) -> torch.Tensor:
        """Unit vectors (items + 1, width); row 0 is the padding."""
        read = self.experts(self.texts)
        return functional.normalize(read + self.item_embedding.weight if self.ids else read, dim=-1)

    def calculate_loss(self, interaction: Any) -> torch.Tensor:  # noqa: ANN401
        """Softmax over the whole catalogue at the temperature."""
        users = self.users(interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN])
        scores = users @ self.items().T / self.temperature
        return functional.cross_entropy(scores, interaction[self.POS_ITEM_ID])
