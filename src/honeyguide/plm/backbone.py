"""A checkpoint opened for training: the transformer, its tokenizer, how it pools, and its special tokens."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer

from honeyguide.errors import InvalidInput, MissingExtra
from honeyguide.plm.export import find_checkpoint, pooling_mode, prompts_of, quiet
from honeyguide.plm.files import PROMPTS
from honeyguide.plm.shapes import open_model

Purpose = Literal["encoder", "masked", "causal"]


@dataclass(frozen=True, slots=True)
class Special:
    """Ids of the tokens with a meaning of their own; `vocabulary` is how many ids there are."""

    first: int
    last: int
    pad: int
    mask: int | None
    vocabulary: int
    all: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Backbone:
    """A transformer with what must be known to feed it; `model.base_model` is the part that tasks share."""

    model: Any
    tokenizer: Any
    special: Special
    pooling: str
    folder: Path

    @property
    def dim(self) -> int:
        """Width of a token's hidden state."""
        return int(self.model.config.hidden_size)

    @property
    def longest(self) -> int:
        """The most tokens a text may have, special ones included."""
        known = [self.tokenizer.model_max_length, getattr(self.model.config, "max_position_embeddings", 512)]
        return int(min(known))

    @property
    def fast_tokenizer(self) -> Tokenizer:
        """The tokenizer without transformers around it."""
        return Tokenizer.from_str(self.tokenizer.backend_tokenizer.to_str())

    def save(self, folder: Path) -> None:
        """Write it as a Hugging Face checkpoint, with its pooling as sentence-transformers says it."""
        save_checkpoint_folder(self, folder)


def open_backbone(
    checkpoint: str, purpose: Purpose, *, dropout: float | None = None, seed: int = 0
) -> Backbone:
    """The checkpoint (a folder, a package that carries weights, or a hub name) in float32, ready to be trained.

    A head that the checkpoint lacks begins anew, the same for the same seed. InvalidInput where transformers cannot
    read it so.
    """
    folder = find_checkpoint(checkpoint)
    try:
        from transformers import (
            AutoConfig,
            AutoModel,
            AutoModelForCausalLM,
            AutoModelForMaskedLM,
            AutoTokenizer,
        )
    except ImportError:
        raise MissingExtra("transformers", "train") from None
    kinds = {"encoder": AutoModel, "masked": AutoModelForMaskedLM, "causal": AutoModelForCausalLM}
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            config = AutoConfig.from_pretrained(folder)
            if dropout is not None:
                for name in (
                    "hidden_dropout_prob",
                    "attention_probs_dropout_prob",
                    "dropout",
                    "attention_dropout",
                ):
                    if hasattr(config, name):
                        setattr(config, name, dropout)
            tokenizer = AutoTokenizer.from_pretrained(folder)
            model = open_model(kinds[purpose], folder, config)
        except (OSError, ValueError, KeyError) as error:
            raise InvalidInput(f"{folder} cannot be trained as a {purpose} model: {error}") from None
    return Backbone(model.float(), tokenizer, _special(tokenizer, folder), pooling_mode(folder), folder)


def _special(tokenizer: Any, folder: Path) -> Special:  # noqa: ANN401
    first = _first_of(tokenizer.cls_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id)
    last = _first_of(tokenizer.sep_token_id, tokenizer.eos_token_id)
    if first is None or last is None:
        raise InvalidInput(f"{folder}: its tokenizer has no token that ends a text: add an eos or sep token")
    return Special(
        first=first,
        last=last,
        pad=last if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id),
        mask=tokenizer.mask_token_id,
        vocabulary=len(tokenizer),
        all=tuple(sorted(set(tokenizer.all_special_ids))),
    )


def _first_of(*ids: int | None) -> int | None:
    return next((int(i) for i in ids if i is not None), None)


def save_checkpoint_folder(backbone: Backbone, folder: Path) -> None:
    """Write model, tokenizer and pooling so that `find_checkpoint` finds all of it again."""
    import json

    from transformers.utils import logging

    bars: Any = logging  # it ships no types

    with quiet():
        bars.disable_progress_bar()
        backbone.model.save_pretrained(folder, safe_serialization=True)
        backbone.tokenizer.save_pretrained(folder)
    modes = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}
    pooling = {name: mode == backbone.pooling for mode, name in modes.items()}
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": backbone.dim, **pooling})
    )
    if prompts := prompts_of(backbone.folder):
        (folder / PROMPTS).write_text(json.dumps({"prompts": prompts}))


def checkpoint_files(backbone: Backbone) -> dict[str, bytes]:
    """The files of a checkpoint as an artefact holds them, which has no folders in it."""
    with tempfile.TemporaryDirectory() as name:
        backbone.save(Path(name))
        return {
            ("pooling.json" if path.parent.name == "1_Pooling" else path.name): path.read_bytes()
            for path in Path(name).rglob("*")
            if path.is_file()
        }


def pooled(hidden: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """(n, dim) of unit norm out of hidden states (n, length, dim) and a mask (n, length)."""
    if pooling == "cls":
        return torch.nn.functional.normalize(hidden[:, 0].float(), dim=1)
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return torch.nn.functional.normalize(((hidden * weights).sum(1) / weights.sum(1)).float(), dim=1)
