"""A shop's own language model: a checkpoint, adapted to the shop's text and behaviour, as an artefact with its card.

The artefact's folder is a Hugging Face checkpoint: everything that takes a checkpoint takes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from honeyguide import artifacts
from honeyguide.errors import InvalidInput
from honeyguide.plm.backbone import Backbone, checkpoint_files, open_backbone
from honeyguide.plm.card import Card, checkpoint_name, render_card
from honeyguide.plm.corpus import ItemPairs, distinct, is_held_out
from honeyguide.plm.export import prompts_of
from honeyguide.plm.files import CARD, LANGUAGE_MODEL
from honeyguide.plm.pretrain import Material, Pretraining, Reading, Weights, pretrain
from honeyguide.plm.tokens import Tokens, tokenise
from honeyguide.plm.track import Trackers
from honeyguide.plm.train.checkpoint import drop_checkpoints
from honeyguide.plm.train.devices import find_place, in_turn
from honeyguide.plm.train.loop import Outcome
from honeyguide.plm.train.schedule import Schedule
from honeyguide.types import Progress, State, silent


@dataclass(frozen=True, slots=True)
class Plan:
    """How to adapt: what is learned, how long, and how texts are cut."""

    checkpoint: str
    weights: Weights
    schedule: Schedule
    reading: Reading
    held_out: float = 0.1
    device: str = "auto"
    precision: str = "auto"
    trackers: tuple[str, ...] = ("jsonl",)

    def __post_init__(self) -> None:
        if not 0 <= self.held_out < 1:
            raise InvalidInput(f"held_out must be at least 0 and below 1, got {self.held_out}")


def adapt(
    models: Path,
    plan: Plan,
    *,
    texts: Iterable[str],
    items: Sequence[str],
    pairs: ItemPairs,
    key: str,
    scratch: Path,
    progress: Progress = silent,
) -> str:
    """Adapt the checkpoint and store it as the current language model under `models`; returns the version.

    `items` are the catalogue's texts and `pairs` rows of them. `scratch` holds tokens and checkpoints of the job
    `key`: a killed run goes on from there, and a finished one leaves only its figures.
    """
    place = find_place(plan.device, plan.precision)
    backbone = open_backbone(
        plan.checkpoint, "causal" if plan.weights.causal else "masked", seed=plan.schedule.seed
    )
    corpus = list(distinct(texts))
    material = in_turn(place, lambda: _material(backbone, plan, corpus, items, pairs, key, scratch))
    tracker = Trackers.named(plan.trackers, scratch / "figures")
    try:
        found = pretrain(
            backbone,
            material,
            plan.weights,
            plan.schedule,
            place=place,
            folder=scratch / "checkpoints",
            reading=plan.reading,
            tracker=tracker,
            progress=progress,
        )
    finally:
        tracker.close()
    version = in_turn(place, lambda: _stored(models, backbone, plan, material, found, key))
    if place.leads:
        drop_checkpoints(scratch / "checkpoints")
    return version


def _material(
    backbone: Backbone,
    plan: Plan,
    corpus: Sequence[str],
    items: Sequence[str],
    pairs: ItemPairs,
    key: str,
    scratch: Path,
) -> Material:
    tokenizer = backbone.fast_tokenizer
    held_out = [text for text in corpus if is_held_out(text, plan.held_out)]
    learned = [text for text in corpus if not is_held_out(text, plan.held_out)]
    if not learned:
        raise InvalidInput(
            "there is no text to adapt the language model to: give items titles or descriptions"
        )
    row_of = {text: row for row, text in enumerate(dict.fromkeys(items))}
    rows = np.array([row_of[text] for text in items], dtype=np.int64)
    begins = prompts_of(backbone.folder).get("passage", "")  # as it will when the catalogue is read
    first, second = rows[pairs.first], rows[pairs.second]
    seen = np.array([not is_held_out(text, plan.held_out) for text in row_of], dtype=np.bool_)
    # sizes of one product share their text: there is nothing to learn between them
    told = (first != second) & seen[first] & seen[second]

    def tokens(name: str, some: Sequence[str]) -> Tokens:
        return tokenise(some, tokenizer, scratch / "tokens" / name, key=key)

    return Material(
        texts=tokens("texts", learned),
        held_out=tokens("held_out", held_out),
        items=tokens("items", [begins + text for text in row_of]),
        pairs=ItemPairs(first[told], second[told]),
    )


def _stored(
    models: Path, backbone: Backbone, plan: Plan, material: Material, found: Pretraining, key: str
) -> str:
    if known := artifacts.load_if_made_from(models, LANGUAGE_MODEL, key):
        return known.version
    files = checkpoint_files(backbone)
    card = Card(
        title="A shop's own language model",
        base=checkpoint_name(plan.checkpoint),
        purpose="reads items, searches and reviews of this shop; vectors of items and of users' tastes come from it",
        made_from=(
            f"{len(material.texts):,} distinct texts of the shop, {len(material.held_out):,} more held out",
            f"{len(material.pairs) if material.pairs else 0:,} pairs of items that one user took one after the other",
        ),
        how=_how(plan, found.outcome),
        figures=_figures(found),
    )
    files[CARD] = render_card(card).encode()
    meta = {"key": key, "before": found.before, "after": found.after, "steps": found.outcome.steps}
    return artifacts.save(models, LANGUAGE_MODEL, curves_state(found.outcome), meta, files)


def _how(plan: Plan, outcome: Outcome) -> tuple[str, ...]:
    w, s = plan.weights, plan.schedule
    named = {
        "hidden words": w.masked,
        "what follows what": w.following,
        "what is taken together": w.contrastive,
        "neighbours among all items": w.neighbours,
        "reading on": w.causal,
    }
    objectives = ", ".join(f"{name} (weight {weight:g})" for name, weight in named.items() if weight)
    kept = f"; the weights of step {outcome.best_step} were kept" if outcome.best is not None else ""
    return (
        f"objectives: {objectives}",
        f"{outcome.steps} of at most {s.steps} steps of AdamW at {s.learning_rate:g}{kept}",
        f"texts cut after {plan.reading.max_tokens} tokens, seed {s.seed}",
        *halved(outcome),
    )


def halved(outcome: Outcome) -> tuple[str, ...]:
    """For a card: that memory ran out, where it did."""
    parts = 2**outcome.halvings
    return (f"memory ran out: batches were passed over in {parts} parts",) if outcome.halvings else ()


def _figures(found: Pretraining) -> tuple[tuple[str, str], ...]:
    if found.before is None or found.after is None:
        return ()
    return (
        ("perplexity on held-out texts, before", f"{found.before:.1f}"),
        ("perplexity on held-out texts, after", f"{found.after:.1f}"),
    )


def curves_state(outcome: Outcome) -> State:
    """Per figure `curve.<name>`: (n, 2) float64 of step and value."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for step, figures in outcome.history:
        for name, value in figures.items():
            curves.setdefault(name, []).append((step, value))
    return {f"curve.{name}": np.array(points, dtype=np.float64) for name, points in curves.items()}
