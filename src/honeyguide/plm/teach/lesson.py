"""One task taught: a checkpoint is fine-tuned as was planned, measured, and stored to serve without torch.

A task is made once: its artefact knows what it was made from. A killed lesson goes on from its last checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide import artifacts
from honeyguide.artifacts import file_hash, key_of
from honeyguide.errors import DamagedArtifact, NoArtifact
from honeyguide.plm.adapt import curves_state
from honeyguide.plm.adapters.bottleneck import Bottleneck
from honeyguide.plm.adapters.lowrank import AdaLora, Lora
from honeyguide.plm.adapters.way import Full, HeadOnly, Way
from honeyguide.plm.adversarial import fgm, pgd
from honeyguide.plm.augment import noisy_reading
from honeyguide.plm.backbone import Backbone, open_backbone
from honeyguide.plm.export import checkpoint_key
from honeyguide.plm.files import CARD
from honeyguide.plm.finetune import FineTuned, Regime, Split, Tuning, as_it_is, finetune, unchanged
from honeyguide.plm.heads.head import Feeding, Head
from honeyguide.plm.heads.pairs import Retrieval
from honeyguide.plm.heads.tags import TokenClassification
from honeyguide.plm.rdrop import RDrop
from honeyguide.plm.synonyms import Synonyms, learn_synonyms
from honeyguide.plm.task import export_task
from honeyguide.plm.teach.card import lesson_card
from honeyguide.plm.teach.examples import Tables, TaskExamples, events_until, shop_examples
from honeyguide.plm.teach.heads import CLASSES, PAIRS, UNTAUGHT, head_for, untaught
from honeyguide.plm.teach.plan import PREFIX, TeachPlan
from honeyguide.plm.teach.searches import leads
from honeyguide.plm.track import Trackers
from honeyguide.plm.train.checkpoint import drop_checkpoints
from honeyguide.plm.train.devices import find_place, in_turn
from honeyguide.plm.train.feeds import Feed
from honeyguide.plm.train.schedule import Schedule
from honeyguide.plm.train.terms import Backward, plain
from honeyguide.types import Progress, Stage, quietly, silent

_FORM = "task 1"  # another number makes all tasks anew: examples or lessons are not what they were
_EPSILON = 0.3  # how far a text's word embeddings are shifted
_CHECKPOINT_EVERY = 50
_FEWEST_PAIRS = 8
_MERGED = ("lora", "adalora")
_WAYS: Mapping[str, Way] = {
    "full": Full(),
    "head": HeadOnly(),
    "lora": Lora(),
    "adalora": AdaLora(),
    "houlsby": Bottleneck("houlsby"),
    "pfeiffer": Bottleneck("pfeiffer"),
}
_BACKWARD: Mapping[str, Backward] = {"": plain, "fgm": fgm(_EPSILON), "pgd": pgd(_EPSILON)}


def teach_tasks(
    models: Path,
    plan: TeachPlan,
    *,
    events: Path,
    items: Path,
    until: datetime | None = None,
    scratch: Path,
    stage: Stage = quietly,
) -> dict[str, str]:
    """Teach all tasks of the plan out of a shop's tables; the version of each task's artefact.

    Where neither the tables nor the plan have changed nothing is read. InvalidInput names what the shop lacks for a
    task, before any is taught.
    """
    source = _source(plan, events, items, until)
    known = {task: _made_from(models, task, source) for task in plan.tasks}
    wanted = [task for task, version in known.items() if version is None]
    found = shop_examples(wanted, events=events, items=items, until=until, seed=plan.seed)
    for examples in found:
        synonyms = _synonyms(plan, examples, events, items, until)
        with stage(f"Teach the language model a task: {examples.name}") as progress:
            known[examples.name] = teach(
                models, plan, examples, scratch=scratch, synonyms=synonyms, source=source, progress=progress
            )
    return {task: version for task, version in known.items() if version is not None}


def teach(
    models: Path,
    plan: TeachPlan,
    examples: TaskExamples[Any],
    *,
    scratch: Path,
    synonyms: Synonyms | None = None,
    source: str = "",
    progress: Progress = silent,
) -> str:
    """Teach one task and store it as the current artefact `task-<name>` under `models`, unless it is; its version.

    The test part is looked at once, when everything is settled. `scratch` holds checkpoints, and keeps the figures.
    `source` is noted in the artefact: what the examples were made from, for who wants to know before making them.
    """
    name = PREFIX + examples.name
    key = _key(plan, examples, synonyms)
    if known := artifacts.load_if_made_from(models, name, key):
        return known.version
    place = find_place(plan.device, plan.precision)
    backbone = open_backbone(plan.checkpoint, "encoder", dropout=plan.dropout, seed=plan.seed)
    feeding = _feeding(backbone, plan)
    head = head_for(examples, backbone.dim, plan)
    backbone.model.to(place.device)
    before = untaught(examples, head, backbone, feeding, place.device)
    home = scratch / examples.name
    tracker = Trackers.named(plan.trackers, home / "figures")
    try:
        found = finetune(
            backbone,
            head,
            Split(examples.train, examples.validation),
            _WAYS[plan.way],
            _schedule(plan, examples),
            place=place,
            folder=home / "checkpoints" / key[:12],
            feeding=feeding,
            regime=_regime(plan, examples, head, feeding, synonyms),
            tracker=tracker,
            progress=progress,
        )
    finally:
        tracker.close()
    version = in_turn(place, lambda: _stored(models, plan, examples, found, before, key, source))
    if place.leads:
        drop_checkpoints(home / "checkpoints")
    return version


def _stored(
    models: Path,
    plan: TeachPlan,
    examples: TaskExamples[Any],
    found: FineTuned[Any],
    before: Mapping[str, Mapping[str, float]],
    key: str,
    source: str,
) -> str:
    if known := artifacts.load_if_made_from(models, PREFIX + examples.name, key):
        return known.version
    told = {
        "name": examples.name,
        "examples": [len(part.texts) for part in examples.parts],
        "steps": found.outcome.steps,
        "way": plan.way,
        "share": found.share,
        "baseline": UNTAUGHT[examples.kind],
        "figure": next(iter(before["test"])),
        "before": before,
        "after": {"validation": dict(found.validation), "test": found.tuned.score(examples.test)},
    }
    card = lesson_card(plan, examples, found, told)
    if plan.way in _MERGED:
        found.tuned.merge()
    return export_task(
        models,
        found.tuned,
        name=PREFIX + examples.name,
        key=key,
        arrays=curves_state(found.outcome),
        meta={"task": told, "source": source},
        files={CARD: card.encode()},
    )


def _source(plan: TeachPlan, events: Path, items: Path, until: datetime | None) -> str:
    hashes = [file_hash(path) if path.is_file() else None for path in (events, items)]
    checkpoint = checkpoint_key(plan.checkpoint, plan.max_tokens)
    return key_of(_FORM, checkpoint, plan.settings(), *hashes, until)


def _made_from(models: Path, task: str, source: str) -> str | None:
    try:
        made = artifacts.load(models, PREFIX + task)
    except (NoArtifact, DamagedArtifact):
        return None
    return made.version if made.meta.get("source") == source else None


def _key(plan: TeachPlan, examples: TaskExamples[Any], synonyms: Synonyms | None) -> str:
    known = sorted(synonyms.of.items()) if synonyms else []
    checkpoint = checkpoint_key(plan.checkpoint, plan.max_tokens)
    return key_of(_FORM, checkpoint, plan.settings(), examples.version, known)


def _feeding(backbone: Backbone, plan: TeachPlan) -> Feeding:
    """Of pairs a batch holds as many as there are tokens for, whatever they are short of."""
    cut = Feeding.of(backbone, max_tokens=plan.max_tokens, batch_tokens=plan.batch_tokens, seed=plan.seed)
    return replace(cut, rows=max(_FEWEST_PAIRS, cut.batch_tokens // cut.max_tokens))


def _schedule(plan: TeachPlan, examples: TaskExamples[Any]) -> Schedule:
    return Schedule(
        plan.steps,
        learning_rate=plan.rate(pairs=examples.kind in PAIRS),
        weight_decay=plan.weight_decay,
        eval_every=plan.look_every,
        patience=plan.patience,
        checkpoint_every=_CHECKPOINT_EVERY,
        seed=plan.seed,
    )


def _regime(
    plan: TeachPlan,
    examples: TaskExamples[Any],
    head: Head[Any],
    feeding: Feeding,
    synonyms: Synonyms | None,
) -> Regime:
    def twice(tuning: Tuning) -> RDrop:
        return RDrop(tuning, head.get_submodule("out"), alpha=plan.rdrop)

    noisy: Callable[[Feed], Feed] = unchanged
    if plan.noise and examples.kind != TokenClassification.kind:  # a tag belongs to a word as it stands
        noisy = noisy_reading(
            examples.train.texts,
            feeding.tokenizer,
            synonyms=synonyms,
            seed=plan.seed,
            allowed=_typed(examples),
        )
    return Regime(
        around=twice if plan.rdrop and examples.kind in CLASSES else as_it_is,
        noisy=noisy,
        backward=_BACKWARD[plan.adversarial],
    )


def _typed(examples: TaskExamples[Any]) -> NDArray[np.bool_] | None:
    """(texts,): which texts a shopper typed, where items stand beside them: the catalogue makes no slips."""
    if examples.kind not in PAIRS:
        return None
    part = examples.train
    typed = np.zeros(len(part.texts), dtype=np.bool_)
    typed[part.first if examples.kind == Retrieval.kind else part.query] = True
    return typed


def _synonyms(
    plan: TeachPlan, examples: TaskExamples[Any], events: Path, items: Path, until: datetime | None
) -> Synonyms | None:
    """Words that searches use for each other; what the task is judged by is not listened to."""
    if not plan.synonyms or not events.is_file():
        return None
    held_out = (*examples.validation.texts, *examples.test.texts)
    with events_until(events, until) as log:
        return learn_synonyms([leads(Tables(log, items, until, plan.seed), without=held_out)])
