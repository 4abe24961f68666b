"""A BERT of two layers with random weights: a checkpoint that is made and exported in seconds."""

import json
import os
import tempfile
from functools import cache
from pathlib import Path

from honeyguide import artifacts
from honeyguide.artifacts import Artifact
from honeyguide.plm.encoder import OnnxEncoder

MAX_TOKENS = 16
WORDS = (
    "frozen pizza dog food red wine hand soap shampoo and conditioner for dry hair milk a of organic".split()
)
PIECES = [*"abcdefghijklmnopqrstuvwxyz,.", *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *(set(PIECES) - set(WORDS))]


def save_tiny_bert(folder: Path, *, seed: int = 0, pooling: str | None = None, layers: int = 2) -> Path:
    """Write a checkpoint as save_pretrained does; `pooling` is the mode that sentence-transformers notes."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    words = sorted(VOCABULARY[5:])
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join([*VOCABULARY[:5], *words]) + "\n")
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.5,  # wide, so that different words give clearly different vectors
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        BertModel(config).save_pretrained(folder)
    BertTokenizer(vocab=str(vocabulary), model_max_length=64).save_pretrained(folder)
    if pooling is not None:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps({pooling: True}))
    return folder


@cache
def tiny_artifact() -> Artifact:
    """The tiny checkpoint, exported once per test process."""
    from honeyguide.plm.export import export_encoder

    home = Path(tempfile.mkdtemp(prefix="tiny-bert-"))
    export_encoder(home / "models", str(save_tiny_bert(home / "checkpoint")), max_tokens=MAX_TOKENS)
    return artifacts.load(home / "models", "encoder")


def tiny_encoder() -> OnnxEncoder:
    """A fresh encoder over the tiny checkpoint."""
    return OnnxEncoder.load(tiny_artifact(), threads=1, batch_size=4)
