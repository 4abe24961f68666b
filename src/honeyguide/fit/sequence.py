"""The stage of a fit that learns what users take next."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from honeyguide import artifacts
from honeyguide.artifacts import key_of
from honeyguide.config import Sequence, Settings
from honeyguide.data.catalog import Catalog
from honeyguide.data.table import EventTable
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.sequence.model import SequenceModel, mixed
from honeyguide.shop.models import ENCODER, SEQUENCE
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Progress, Rows, Stage, Vectors

if TYPE_CHECKING:
    from honeyguide.interests.train.plan import SequencePlan

_POOL = 5000  # items that stand for all where one user is asked about
_HELD = 5000  # users whose last event is held out, at the most


def sequence_stage(
    workspace: Workspace,
    settings: Settings,
    catalog: Catalog,
    vectors: Vectors,
    table: EventTable,
    stage: Stage,
) -> SequenceModel | None:
    """The sequence model over the item vectors; None where the settings do without, or nobody took two items."""
    given = settings.sequence
    sequences = Sequences.of(table)
    if not given.steps or not (sequences.lengths > 1).any():
        return None
    encoder = artifacts.current(workspace.models, ENCODER)
    key = key_of("sequence", catalog.version, encoder, table.version, asdict(given), settings.seed)
    if known := artifacts.load_if_made_from(workspace.models, SEQUENCE, key):
        return SequenceModel.from_state(known.arrays, known.meta["sequence"])
    with stage("Learn what users take next") as progress:
        model, curve = _learned(workspace, settings, vectors, sequences, progress)
    arrays, meta = model.state()
    artifacts.save(workspace.models, SEQUENCE, arrays, {"key": key, "sequence": meta, "curve": curve})
    return model


def _learned(
    workspace: Workspace, settings: Settings, vectors: Vectors, sequences: Sequences, progress: Progress
) -> tuple[SequenceModel, list[dict[str, float]]]:
    import torch

    from honeyguide.interests.train.learn import HeldOut, learn_sequences
    from honeyguide.plm.train.devices import Place, device_named

    items, given = len(vectors), settings.sequence
    known, asked, targets = part(sequences, settings)
    held_out = HeldOut(asked, targets)
    learned = learn_sequences(
        vectors - vectors.mean(axis=0),
        items,
        known,
        held_out,
        _plan(given, settings.seed),
        place=Place(device_named(settings.training.device), torch.float32),
        folder=workspace.cache / "sequence",
        progress=progress,
    )
    model = SequenceModel(learned.network)
    if given.memory:
        model = mixed(learned.network, known, asked, targets)
    taken = np.bincount(sequences.tokens, minlength=items)
    pool = np.sort(np.argsort(-taken, kind="stable")[:_POOL])
    curve = [{"epoch": epoch, **figures} for epoch, figures in learned.curve]
    return SequenceModel(model.network, model.memory, pool if len(pool) < items else None), curve


def _plan(given: Sequence, seed: int) -> SequencePlan:
    from honeyguide.interests.sequence.network import Shape
    from honeyguide.interests.train.plan import SequencePlan

    return SequencePlan(
        shape=Shape(given.width, given.blocks, given.heads, given.longest),
        epochs=given.epochs,
        steps=given.steps,
        loss=given.loss,  # type: ignore[arg-type]
        negatives=given.negatives,
        dropout=given.dropout,
        learning_rate=given.learning_rate,
        weight_decay=given.weight_decay,
        batch=given.batch,
        patience=given.patience,
        seed=seed,
    )


def part(sequences: Sequences, settings: Settings) -> tuple[Sequences, Sequences, Rows]:
    """What is learned from; some users' events but the last one; and the items that those took last."""
    able = np.flatnonzero(sequences.lengths > 1)
    count = min(max(1, round(settings.sequence.held_out * len(able))), _HELD)
    users = np.sort(np.random.default_rng(settings.seed).choice(able, count, replace=False)).astype(np.int64)
    return (
        sequences.without_last_of(users),
        sequences.without_last(1).of_users(users),
        sequences.from_last(0)[users],
    )
