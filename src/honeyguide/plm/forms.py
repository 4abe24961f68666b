"""The form in which an encoder serves: as exported, in 8 bits, of fewer dims. What loses too much is not stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from honeyguide import artifacts
from honeyguide.errors import InvalidInput
from honeyguide.plm.encoder import OnnxEncoder, Prompt, open_graph
from honeyguide.plm.files import ENCODER, GRAPH, TOKENIZER
from honeyguide.plm.parity import check_parity, neighbour_task
from honeyguide.types import Encoder

if TYPE_CHECKING:
    from honeyguide.plm.export import EncoderFiles

FORMS = ("fp32", "int8")
_SAMPLE = 4000  # half of it says what to keep, and the other half whether that was enough
_REMEDY = 'Set [plm] form = "fp32" and dim = 0 in honeyguide.toml, or a higher [plm] tolerance'


@dataclass(frozen=True, slots=True)
class Form:
    """`number` is fp32 or int8; `dim` of 0 keeps all components; `tolerance` is the share of recall that may go."""

    number: str = "fp32"
    dim: int = 0
    tolerance: float = 0.02

    def __post_init__(self) -> None:
        if self.number not in FORMS:
            raise InvalidInput(f"form must be one of {', '.join(FORMS)}, got {self.number!r}")
        if self.dim < 0 or not 0 <= self.tolerance < 1:
            raise InvalidInput(
                f"dim must be at least 0, and tolerance too and below 1, got {self.dim} and {self.tolerance}"
            )


def store_encoder(root: Path, checkpoint: str, form: Form, *, max_tokens: int, texts: Sequence[str]) -> str:
    """Store the checkpoint in this form as the current encoder, unless it is already; returns the version.

    `texts` are the shop's: what the gate is about. QualityLost, and what was stored stays, where too much is lost.
    """
    from honeyguide.plm.export import checkpoint_key, export, export_encoder

    if form.number == "fp32" and not form.dim:
        return export_encoder(root, checkpoint, max_tokens=max_tokens)
    sample = _sample(texts)
    key = artifacts.key_of(checkpoint_key(checkpoint, max_tokens), repr(form), sample)
    if known := artifacts.load_if_made_from(root, ENCODER, key):
        return known.version
    files = export(checkpoint, max_tokens=max_tokens)
    reference = encoder_of(files)
    formed = in_form(files, form, reference, sample[::2])
    meta = {**formed.meta, "key": key, "form": form.number}
    asked = sample[1::2]
    if len(asked) > 1:  # among fewer nothing is found
        task = neighbour_task(reference, asked)
        candidate = encoder_of(formed)
        meta["parity"] = str(
            check_parity(reference, candidate, task, tolerance=form.tolerance, remedy=_REMEDY)
        )
    return artifacts.save(root, ENCODER, {}, meta, {GRAPH: formed.graph, TOKENIZER: formed.tokenizer})


def in_form(files: EncoderFiles, form: Form, reference: Encoder, texts: Sequence[str]) -> EncoderFiles:
    """The encoder in another form; `texts` say which directions of its vectors are worth keeping."""
    from honeyguide.plm.compress.int8 import in_int8
    from honeyguide.plm.compress.truncation import rotation, truncated

    if form.dim and form.dim != files.dim:
        # so few texts span fewer directions than are wanted: the first ones are as good as any then
        turn = rotation(reference.encode(texts), form.dim) if len(texts) >= form.dim else None
        files = truncated(files, form.dim, turn=turn)
    return in_int8(files) if form.number == "int8" else files


def encoder_of(
    files: EncoderFiles, *, threads: int = 0, batch_size: int = 64, prompt: Prompt = "passage"
) -> OnnxEncoder:
    """The encoder that files which are not stored yet would give."""
    return OnnxEncoder(
        open_graph(files.graph),
        Tokenizer.from_str(files.tokenizer.decode()),
        dim=files.dim,
        max_tokens=files.max_tokens,
        version=files.key[:12],
        batch_size=batch_size,
        prefix=files.prompts.get(prompt, ""),
        threads=threads,
    )


def _sample(texts: Sequence[str]) -> list[str]:
    """Distinct texts from all over, the same every time."""
    distinct = [text for text in dict.fromkeys(texts) if text.strip()]
    return distinct[:: max(1, -(-len(distinct) // _SAMPLE))]
