"""A transformer distilled into a smaller one on a shop's own texts, in the one training loop.

Held-out texts say when it is enough: how far the similarities between them, as the student has them, are from the
teacher's. What was made is a checkpoint like any other, with its card, and is exported for serving like any other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from honeyguide import artifacts
from honeyguide.errors import InvalidInput
from honeyguide.plm.adapt import curves_state, halved
from honeyguide.plm.backbone import Backbone, Purpose, checkpoint_files, open_backbone
from honeyguide.plm.card import Card, checkpoint_name, render_card
from honeyguide.plm.corpus import distinct, is_held_out
from honeyguide.plm.distill.imitate import ImitatedTexts, ImitatedWords, Imitation, TextFeed
from honeyguide.plm.distill.student import depth, spread, student_of
from honeyguide.plm.distill.table import likeness
from honeyguide.plm.export import checkpoint_key, find_checkpoint, prompts_of
from honeyguide.plm.files import CARD, STUDENT
from honeyguide.plm.heads.head import Feeding, Reader, each_text
from honeyguide.plm.objectives.masked import MaskedFeed
from honeyguide.plm.tokens import Tokens, tokenise
from honeyguide.plm.track import Tracker, Trackers
from honeyguide.plm.train.checkpoint import drop_checkpoints
from honeyguide.plm.train.devices import Place, find_place, in_turn
from honeyguide.plm.train.loop import Outcome, train
from honeyguide.plm.train.schedule import Schedule
from honeyguide.plm.train.terms import Backward, Term, plain
from honeyguide.types import Progress, Vectors, silent

_LOOKED_AT = 2000  # held-out texts: looking takes no longer than learning then


@dataclass(frozen=True, slots=True)
class Distillation:
    """What distillation gave: how alike the student's similarities are to the teacher's, before and after.

    Correlations over pairs of held-out texts; None where there are fewer than three.
    """

    outcome: Outcome
    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class StudentPlan:
    """How to distil: from which checkpoint, into how many layers and what width, what is imitated and how long."""

    checkpoint: str
    layers: int
    schedule: Schedule
    width: int | None = None
    imitation: Imitation = field(default_factory=Imitation)
    max_tokens: int = 64
    batch_tokens: int = 2048
    held_out: float = 0.1
    device: str = "auto"
    precision: str = "auto"
    trackers: tuple[str, ...] = ("jsonl",)


def distil_student(
    models: Path,
    plan: StudentPlan,
    *,
    texts: Iterable[str],
    scratch: Path,
    progress: Progress = silent,
) -> str:
    """Distil the plan's checkpoint and store the student as the current one under `models`; returns the version.

    `scratch` holds tokens and checkpoints: a killed run goes on from there, a finished one leaves only its figures.
    """
    begins = prompts_of(find_checkpoint(plan.checkpoint)).get("passage", "")  # as when the catalogue is read
    corpus = [begins + text for text in distinct(texts) if text.strip()]
    about = {**asdict(plan), "checkpoint": checkpoint_key(plan.checkpoint, plan.max_tokens)}
    key = artifacts.key_of("student 1", about, corpus)
    if known := artifacts.load_if_made_from(models, STUDENT, key):
        return known.version
    place = find_place(plan.device, plan.precision)
    purpose: Purpose = "masked" if plan.imitation.words else "encoder"
    teacher = open_backbone(plan.checkpoint, purpose, dropout=0.0, seed=plan.schedule.seed)
    student = student_of(teacher, layers=plan.layers, width=plan.width, seed=plan.schedule.seed)
    held_out, learned = in_turn(place, lambda: _parts(corpus, teacher, plan, key, scratch))
    if not len(learned):
        raise InvalidInput("there is no text to distil on: give items titles or descriptions")
    tracker = Trackers.named(plan.trackers, scratch / "figures")
    try:
        found = distil(
            teacher,
            student,
            learned,
            held_out,
            plan.imitation,
            plan.schedule,
            place=place,
            folder=scratch / "checkpoints",
            feeding=Feeding.of(teacher, max_tokens=plan.max_tokens, batch_tokens=plan.batch_tokens),
            tracker=tracker,
            progress=progress,
        )
    finally:
        tracker.close()
    version = in_turn(
        place, lambda: _stored(models, student, plan, (len(learned), len(held_out)), found, key)
    )
    if place.leads:
        drop_checkpoints(scratch / "checkpoints")
    return version


def _parts(
    corpus: Sequence[str], teacher: Backbone, plan: StudentPlan, key: str, scratch: Path
) -> tuple[Tokens, Tokens]:
    """Texts held out and those that are learned from."""
    tokenizer = teacher.fast_tokenizer
    held_out = [text for text in corpus if is_held_out(text, plan.held_out)]
    held_out = held_out[:: max(1, -(-len(held_out) // _LOOKED_AT))]
    learned = [text for text in corpus if not is_held_out(text, plan.held_out)]
    return (
        tokenise(held_out, tokenizer, scratch / "tokens" / "held_out", key=key),
        tokenise(learned, tokenizer, scratch / "tokens" / "texts", key=key),
    )


def distil(
    teacher: Backbone,
    student: Backbone,
    texts: Tokens,
    held_out: Tokens,
    imitation: Imitation,
    schedule: Schedule,
    *,
    place: Place,
    folder: Path,
    feeding: Feeding,
    layers: Sequence[int] | None = None,
    tracker: Tracker | None = None,
    backward: Backward = plain,
    progress: Progress = silent,
) -> Distillation:
    """Train `student.model` in place to do as `teacher` does; the teacher is frozen and stays what it is.

    Checkpoints lie in `folder`, and a killed run goes on from there. The weights kept are those whose similarities
    between held-out texts are most like the teacher's.
    """
    taught = tuple(layers) if layers is not None else spread(depth(teacher), depth(student))
    with torch.random.fork_rng():
        torch.manual_seed(schedule.seed)  # new maps begin the same in every process and after every kill
        terms = _terms(teacher, student, texts, imitation, feeding, taught, schedule.seed)
    for term in terms:
        term.module.to(place.device)
    look = _look(teacher, student, held_out, feeding, place)
    before = 1 - look()["unlikeness"] if look else None
    key = _key(
        teacher, student, texts, (imitation, schedule, taught, feeding.max_tokens, feeding.batch_tokens)
    )
    outcome = train(
        terms, schedule, place=place, folder=folder, key=key, evaluate=look, tracker=tracker, backward=backward,
        progress=progress,
    )  # fmt: skip
    after = 1 - look()["unlikeness"] if look else None
    return Distillation(outcome, before, after)


def text_vectors(backbone: Backbone, tokens: Tokens, feeding: Feeding, device: torch.device) -> Vectors:
    """(n, dim) float32 of unit norm: what a transformer says of texts now."""
    reader = Reader(backbone.model.base_model, backbone.pooling)
    was_training = reader.training
    reader.eval()
    found = each_text(tokens, feeding, reader.vectors, device)
    reader.train(was_training)
    return np.stack(found) if found else np.zeros((0, backbone.dim), dtype=np.float32)


def _terms(
    teacher: Backbone,
    student: Backbone,
    texts: Tokens,
    imitation: Imitation,
    feeding: Feeding,
    layers: Sequence[int],
    seed: int,
) -> list[Term]:
    terms = []
    if imitation.of_texts:
        module = ImitatedTexts(teacher, student, imitation, layers=layers)
        terms.append(Term("texts", module, TextFeed.of(texts, feeding)))
    if imitation.words:
        feed = MaskedFeed.of(
            texts,
            teacher.special,
            max_tokens=feeding.max_tokens,
            batch_tokens=feeding.batch_tokens,
            seed=seed,
        )
        terms.append(Term("words", ImitatedWords(teacher, student, imitation), feed, imitation.words))
    return terms


def _look(
    teacher: Backbone, student: Backbone, held_out: Tokens, feeding: Feeding, place: Place
) -> Callable[[], Mapping[str, float]] | None:
    if len(held_out) < 3:
        return None
    wanted = text_vectors(teacher, held_out, feeding, place.device)

    def look() -> Mapping[str, float]:
        return {"unlikeness": 1 - likeness(text_vectors(student, held_out, feeding, place.device), wanted)}

    return look


def _key(teacher: Backbone, student: Backbone, texts: Tokens, *settings: object) -> str:
    """What a checkpoint must have been made from to be gone on with."""
    digest = hashlib.sha256(repr(settings).encode())
    for backbone in (teacher, student):
        digest.update(str(backbone.model.config.to_json_string()).encode())
    for array in (texts.ids, texts.starts):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _stored(
    models: Path,
    student: Backbone,
    plan: StudentPlan,
    texts: tuple[int, int],
    found: Distillation,
    key: str,
) -> str:
    if known := artifacts.load_if_made_from(models, STUDENT, key):
        return known.version
    files = checkpoint_files(student)
    figures = (
        ("correlation with the teacher's similarities, held-out texts, before", found.before),
        ("correlation with the teacher's similarities, held-out texts, after", found.after),
    )
    card = Card(
        title="A student of a language model",
        base=checkpoint_name(plan.checkpoint),
        purpose="reads items and searches of this shop nearly as its teacher does, in less time",
        made_from=(f"{texts[0]:,} distinct texts of the shop, {texts[1]:,} more held out",),
        how=(
            f"{depth(student)} layers of width {student.dim}",
            "imitates " + ", ".join(f"{name} {weight:g}" for name, weight in plan.imitation.weights.items()),
            f"{found.outcome.steps} of at most {plan.schedule.steps} steps at {plan.schedule.learning_rate:g}",
            *halved(found.outcome),
        ),
        figures=tuple((name, f"{value:.3f}") for name, value in figures if value is not None),
    )
    files[CARD] = render_card(card).encode()
    meta = {"key": key, "before": found.before, "after": found.after, "steps": found.outcome.steps}
    return artifacts.save(models, STUDENT, curves_state(found.outcome), meta, files)
