"""Tiny models of several families with random weights, and adapters that were moved as training would move them."""

from __future__ import annotations

from typing import Any

import torch

from honeyguide.plm.adapters.way import Placed
from honeyguide.plm.export import quiet

FAMILIES = ["Bert", "Roberta", "MPNet", "Electra", "DistilBert", "ModernBert", "Llama"]
IDS = torch.arange(21).reshape(3, 7) % 17 + 5
MASK = torch.ones_like(IDS)
MASK[1:, -2:] = 0
COMMON: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 32, "initializer_range": 0.3,
}  # fmt: skip
OTHER: dict[str, dict[str, Any]] = {
    "DistilBert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24},
    "ModernBert": {
        "pad_token_id": 0,
        "bos_token_id": 1,
        "cls_token_id": 1,
        "eos_token_id": 2,
        "sep_token_id": 2,
    },
    "Llama": {"num_key_value_heads": 1},
}


def tiny(family: str, **changed: Any) -> Any:
    """A model of a family with random weights, always the same; `changed` of its configuration is another."""
    import transformers

    told = {**COMMON, **OTHER.get(family, {}), **changed}
    if family == "DistilBert":
        told = {key: told[key] for key in ("vocab_size", "initializer_range", *OTHER[family])}
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(3)
        config: Any = getattr(transformers, f"{family}Config")(**told)
        made: Any = getattr(transformers, f"{family}Model")(config)
    return made.eval()


def says(model: Any) -> torch.Tensor:
    with torch.no_grad():
        hidden: torch.Tensor = model.eval()(input_ids=IDS, attention_mask=MASK).last_hidden_state
    return hidden


def learn(placed: Placed, seed: int = 0) -> None:
    """Move an adapter's parameters to somewhere, as training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in placed.own.values():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
