"""Opening the encoder that `fit` stored, whatever its form."""

from __future__ import annotations

from honeyguide.artifacts import Artifact
from honeyguide.plm.encoder import OnnxEncoder, Prompt
from honeyguide.plm.static import StaticEncoder
from honeyguide.types import Encoder


def open_encoder(
    artifact: Artifact, *, threads: int = 0, batch_size: int = 64, prompt: Prompt = "passage"
) -> Encoder:
    """The encoder, for what is found or for what is asked with; a table of words reads both alike."""
    if artifact.meta.get("form") == "static":
        return StaticEncoder.load(artifact)
    return OnnxEncoder.load(artifact, threads=threads, batch_size=batch_size, prompt=prompt)
