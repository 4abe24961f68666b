"""The form in which an encoder serves: as exported, in 8 bits, of fewer dims, or a table of words without a network.

What finds too much less than its reference is not stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer

from honeyguide import artifacts
from honeyguide.errors import InvalidInput
from honeyguide.plm.corpus import ItemPairs
from honeyguide.plm.encoder import OnnxEncoder, Prompt, open_graph
from honeyguide.plm.files import CARD, ENCODER, GRAPH, TOKENIZER
from honeyguide.plm.parity import Parity, RetrievalTask, check_parity, measure_parity, neighbour_task
from honeyguide.plm.projecting import Projecting, Projector
from honeyguide.types import Encoder, Progress, State, silent

if TYPE_CHECKING:
    from honeyguide.plm.export import EncoderFiles

FORMS = ("fp32", "int8", "static")
_SAMPLE = 4000  # half of it says what to keep, and the other half whether that was enough
_ENOUGH_PAIRS = 500
_REMEDY = (
    'Allow more in [plm] tolerance, or make less of a change: [plm] form = "fp32" and dim = 0, fewer cuts in '
    "[compress], more layers or steps in [distil]"
)


@dataclass(frozen=True, slots=True)
class Form:
    """`kind` is fp32, int8 or static; `dim` of 0 keeps all; `tolerance` is the share of recall that may go."""

    kind: str = "fp32"
    dim: int = 0
    tolerance: float = 0.02

    def __post_init__(self) -> None:
        if self.kind not in FORMS:
            raise InvalidInput(f"form must be one of {', '.join(FORMS)}, got {self.kind!r}")
        if self.dim < 0 or not 0 <= self.tolerance < 1:
            raise InvalidInput(
                f"dim must be at least 0, and tolerance too and below 1, got {self.dim} and {self.tolerance}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Formed:
    """An encoder in its form that is not stored yet."""

    encoder: Encoder
    arrays: State
    meta: dict[str, Any]
    files: dict[str, bytes]
    served: EncoderFiles | None = None
    """Where it is a graph."""


def store_encoder(
    root: Path,
    checkpoint: str,
    form: Form,
    *,
    max_tokens: int,
    texts: Sequence[str],
    pairs: ItemPairs | None = None,
    reference: str | None = None,
    projecting: Projecting | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
) -> str:
    """Store the checkpoint in this form as the current encoder, unless it is already; returns the version.

    `texts` are the shop's and `pairs` rows of them that users took together: what the gate asks for; without
    enough of them it asks for what `reference`, the checkpoint it is compared with (itself), finds nearest.
    QualityLost, and what was stored stays, where too much is lost. A projection, which finds more, comes after the
    gate, so that it hides no loss. It and a table need a `cache` of vectors.
    """
    from honeyguide.plm.export import checkpoint_key, encoder_card, export, export_encoder

    itself = reference is None or reference == checkpoint
    if itself and form == Form(tolerance=form.tolerance) and projecting is None:
        return export_encoder(root, checkpoint, max_tokens=max_tokens)
    about = [checkpoint_key(one, max_tokens) for one in (checkpoint, reference or checkpoint)]
    seen = list(texts) if form.kind == "static" else _sample(texts)
    plan = None if projecting is None else [asdict(projecting.plan), projecting.held_out, list(texts)]
    key = artifacts.key_of("encoder 2", about, asdict(form), seen, _told(pairs), plan)
    if known := artifacts.load_if_made_from(root, ENCODER, key):
        return known.version
    files = export(checkpoint, max_tokens=max_tokens)
    projector = None if projecting is None else Projector(projecting, texts, pairs, cache, progress)
    if projector is not None and form.kind == "static":
        files = projector.of(files)  # a table learns from what is projected already
    against = encoder_of(files if itself else export(str(reference), max_tokens=max_tokens))
    formed = _formed(files, form, texts, cache=cache, progress=progress)
    meta = {**formed.meta, "key": key, "form": form.kind}
    if not itself or form.kind != "fp32" or form.dim:
        if kept := _judged(against, formed.encoder, texts, pairs, form.tolerance):
            meta["parity"] = str(kept)
    if projector is not None and form.kind != "static":
        assert formed.served is not None
        formed = _served(projector.of(formed.served))
        meta |= formed.meta | {"key": key}
    if projector is not None:
        meta["projection"] = projector.told
    if CARD not in formed.files:  # a table brings its own
        figures = {
            "against the checkpoint as it is": meta.get("parity"),
            "projection": meta.get("projection"),
        }
        formed.files[CARD] = encoder_card(checkpoint, files, form.kind, formed.encoder.dim, figures)
    return artifacts.save(root, ENCODER, formed.arrays, meta, formed.files)


def _formed(
    files: EncoderFiles, form: Form, texts: Sequence[str], *, cache: Path | None, progress: Progress
) -> Formed:
    itself = encoder_of(files)
    if form.kind == "static":
        from honeyguide.plm.distill.table import TablePlan, make_table

        if cache is None:
            raise InvalidInput("a table of words needs a cache for what its teacher says: name a folder")
        plan = TablePlan(dims=form.dim or None, max_tokens=files.max_tokens)
        tokenizer = Tokenizer.from_str(files.tokenizer.decode())
        made = make_table(itself, tokenizer, texts, plan, cache=cache, progress=progress)
        return Formed(made.encoder(files.key[:12]), {"table": made.table}, made.meta, made.files)
    return _served(in_form(files, form, itself, _sample(texts)[::2]))


def _served(files: EncoderFiles) -> Formed:
    contents = {GRAPH: files.graph, TOKENIZER: files.tokenizer}
    return Formed(encoder_of(files), {}, files.meta, contents, files)


def _judged(
    reference: Encoder, candidate: Encoder, texts: Sequence[str], pairs: ItemPairs | None, tolerance: float
) -> Parity | None:
    """What was kept; None among so few texts that nothing is to be found."""
    asked = _sample(texts)[1::2]
    if len(asked) < 2:
        return None
    task = _taken_together(reference, texts, asked, pairs) or neighbour_task(reference, asked)
    return check_parity(reference, candidate, task, tolerance=tolerance, remedy=_REMEDY)


def _taken_together(
    reference: Encoder, texts: Sequence[str], asked: Sequence[str], pairs: ItemPairs | None
) -> RetrievalTask | None:
    """Asked with one, the other should be found; None where the shop's users say too little of that."""
    if pairs is None or not len(pairs):
        return None
    place = {text: row for row, text in enumerate(asked)}
    row_of = np.array([place.get(text, -1) for text in texts], dtype=np.int64)
    first, second = row_of[pairs.first], row_of[pairs.second]
    kept = (first >= 0) & (second >= 0) & (first != second)
    codes = np.unique(first[kept] * len(asked) + second[kept])
    if len(codes) < _ENOUGH_PAIRS:
        return None
    task = RetrievalTask(tuple(asked), codes // len(asked), codes % len(asked))
    try:
        measure_parity(reference, reference, task)
    except InvalidInput:
        return None
    return task


def in_form(files: EncoderFiles, form: Form, reference: Encoder, texts: Sequence[str]) -> EncoderFiles:
    """The encoder in another form; `texts` say which directions of its vectors are worth keeping."""
    from honeyguide.plm.compress.int8 import in_int8
    from honeyguide.plm.compress.truncation import rotation, truncated

    if form.dim and form.dim != files.dim:
        # so few texts span fewer directions than are wanted: the first ones are as good as any then
        turn = rotation(reference.encode(texts), form.dim) if len(texts) >= form.dim else None
        files = truncated(files, form.dim, turn=turn)
    return in_int8(files) if form.kind == "int8" else files


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


def _told(pairs: ItemPairs | None) -> list[list[int]] | None:
    return None if pairs is None else [pairs.first.tolist(), pairs.second.tolist()]
