"""Who chooses names: the words propose, a language model chooses, and nothing above is said again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from honeyguide.interests.namers import EncoderNamer, Meaning, Namer, Naming
from honeyguide.interests.naming import Vocabulary
from honeyguide.interests.taxonomy import held
from honeyguide.types import Floats, Rows, Vectors

NOTHING = Meaning(np.zeros(3, dtype=np.float32), ())


class Likes:
    """Prefers names that hold a word."""

    version, weight = "likes", 0.3

    def __init__(self, word: str) -> None:
        self.word = word
        self.asked: list[Sequence[str]] = []

    def prefer(self, meanings: Sequence[Meaning], names: Sequence[Sequence[str]]) -> list[Floats]:
        self.asked += names
        return [np.array([float(self.word in name.lower()) for name in some]) for some in names]


class Letters:
    """An encoder of three dimensions: how often a text says a, b and c."""

    dim, version = 3, "letters"

    def encode(self, texts: Sequence[str]) -> Vectors:
        counts = np.array(
            [[text.lower().count(letter) for letter in "abc"] for text in texts], dtype=np.float32
        )
        counts = counts.reshape(-1, 3)
        norm = np.linalg.norm(counts, axis=1, keepdims=True)
        return np.asarray(counts / np.maximum(norm, 1e-9), dtype=np.float32)


def named(
    texts: list[str],
    leaf: list[int],
    node_parent: list[int],
    namer: Namer | None = None,
    kept: dict[int, str] | None = None,
) -> tuple[str, ...]:
    leaves = max(leaf) + 1
    parents: Rows = np.array(node_parent)
    vocabulary = Vocabulary.of(texts, np.ones(len(texts)))
    weight = csr_array(held(parents, leaves).astype(float)) @ vocabulary.weight_in(np.array(leaf), leaves)
    meanings = [NOTHING] * len(node_parent)
    return Naming(vocabulary, parents, leaves, meanings, () if namer is None else [namer], kept or {}).names(
        csr_array(weight)
    )


TEXTS = (
    ["pet, dog food, chew toys"] * 3
    + ["pet, cat litter"] * 3
    + ["wine, red wine"] * 3
    + ["wine, white wine"] * 3
)
LEAF = [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
TWO_TOPS = [4, 4, 5, 5, -1, -1]


def test_a_child_says_what_its_parent_does_not() -> None:
    names = named(TEXTS, LEAF, TWO_TOPS, kept={4: "Pet", 5: "Wine"})
    assert names[4:] == ("Pet", "Wine")
    assert all("pet" not in name.lower() for name in names[:2])
    assert len(set(names)) == 6


def test_a_language_model_chooses_among_what_the_words_propose() -> None:
    assert "Chew toys" not in named(TEXTS, LEAF, TWO_TOPS)[:1]
    likes = Likes("toys")
    names = named(TEXTS, LEAF, TWO_TOPS, likes)
    assert "toys" in names[0].lower()
    assert all("toys" not in name.lower() for name in names[1:4]), "a model chooses, it does not invent"
    assert all(len(some) > 1 for some in likes.asked)


def test_what_is_kept_is_neither_asked_about_nor_given_to_another() -> None:
    likes = Likes("toys")
    names = named(TEXTS, LEAF, TWO_TOPS, likes, {2: "Chew toys"})
    assert names[2] == "Chew toys"
    assert names[0] != "Chew toys"
    assert not any("Red wine" in some for some in likes.asked[2:3])


def test_a_top_interest_with_one_child_has_its_name() -> None:
    names = named(TEXTS, LEAF, [4, 5, 5, 5, -1, -1])
    assert names[4] == names[0]
    assert len(set(names)) == 5


def test_an_encoder_prefers_names_that_mean_the_same() -> None:
    encoder = EncoderNamer(Letters(), np.zeros(3, dtype=np.float32))
    towards_b = Meaning(np.array([0, 1, 0], dtype=np.float32), ())
    scores = encoder.prefer([towards_b, towards_b], [["aaa", "bbb", "ab"], ["c"]])
    np.testing.assert_allclose(scores[0], [0, 1, np.sqrt(0.5)], atol=1e-6)
    np.testing.assert_allclose(scores[1], [0], atol=1e-6)
    assert encoder.prefer([], []) == []


def tiny_causal(folder: Path) -> Path:
    """A Llama of two layers with random weights, always the same, that knows some of a shop's words."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = "These products : ; . In a shop they stand under red wine dog food chew toys".split()
    ids = {word: row for row, word in enumerate(dict.fromkeys(["<s>", "</s>", "<unk>", *words]))}
    tokenizer = Tokenizer(WordLevel(ids, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    fast: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call,unused-ignore]
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", model_max_length=64
    )
    fast.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(ids),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_a_causal_model_prefers_what_the_products_make_likelier(tmp_path: Path) -> None:
    import torch

    from honeyguide.interests.causal_namer import CausalNamer

    folder = tiny_causal(tmp_path / "causal")
    namer = CausalNamer.open(str(folder))
    assert namer.version == CausalNamer.open(str(folder)).version
    names = ["red wine", "dog", "chew toys food"]
    meaning = Meaning(np.zeros(3, dtype=np.float32), ("dog food", "chew toys"))
    (found,) = namer.prefer([meaning], [names])

    def likelihood(prompt: str, name: str) -> float:
        """Over the root of its length, the whole text read at once."""
        ids = [
            namer.model.backbone.special.first,
            *namer.model.backbone.fast_tokenizer.encode(f"{prompt} {name}").ids,
        ]
        count = len(name.split())
        with torch.no_grad():
            said = torch.log_softmax(namer.model.backbone.model(torch.tensor([ids])).logits[0], dim=-1)
        total = float(said[range(len(ids) - count - 1, len(ids) - 1), ids[-count:]].sum())
        return total / math.sqrt(count)

    asked = "In a shop they stand under:"
    wanted = [
        likelihood(f"These products: dog food; chew toys. {asked}", name) - likelihood(asked, name)
        for name in names
    ]
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    (many,) = namer.prefer([meaning], [names * 4])
    assert len(many) == 12
    assert (many[8:] == many[:8].min()).all()
    assert namer.prefer([], []) == []
