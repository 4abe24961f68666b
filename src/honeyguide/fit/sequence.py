"""The stage of a fit that learns what users take next."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from honeyguide import artifacts
from honeyguide.artifacts import key_of
from honeyguide.config import Settings
from honeyguide.data.catalog import Catalog
from honeyguide.data.table import EventTable
from honeyguide.interests.sequence.content import content_of, prices_or_paid
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.sequence.likeness import share_of_new
from honeyguide.interests.sequence.mixing import mixed
from honeyguide.interests.sequence.model import SequenceModel
from honeyguide.interests.sequence.network import SequenceNetwork
from honeyguide.interests.taxonomy import Taxonomy
from honeyguide.plm.serving import open_encoder
from honeyguide.plm.vectors import catalogue_vectors
from honeyguide.shop.releases import ENCODER, SEQUENCE
from honeyguide.shop.workspace import Workspace
from honeyguide.types import EVENT_KINDS, Progress, Rows, Stage, Vectors

if TYPE_CHECKING:
    from honeyguide.interests.train.plan import SequencePlan

_SCRATCH = "sequence"
_MADE_LIKE = 3  # counts what is learned and how: a shop fitted before is fitted anew
_POOL = 5000  # items that stand for all where one user is asked about
_SEARCHES = 20_000  # distinct searches that are read, the most frequent ones
_HELD = 5000  # users whose last basket is held out, at the most
_LEAST = 1000  # and at the least, or a third of all: to choose a mixture by some hundred is to draw it


def sequence_stage(
    workspace: Workspace,
    settings: Settings,
    catalog: Catalog,
    vectors: Vectors,
    taxonomy: Taxonomy,
    table: EventTable,
    stage: Stage,
) -> SequenceModel | None:
    """The sequence model over the item vectors; None where the settings do without, or nobody took two items."""
    given = settings.sequence
    sequences = sequences_of(table, len(catalog))
    if not given.steps or not (sequences.lengths > 1).any():
        return None
    encoder = artifacts.current(workspace.models, ENCODER)
    wanted = _wanted(settings, taxonomy)
    key = key_of("sequence", _MADE_LIKE, catalog.version, encoder, table.version, wanted, settings.seed)
    if made := artifacts.load_if_made_from(workspace.models, SEQUENCE, key):
        return SequenceModel.from_state(made.arrays, made.meta["sequence"])
    searches = _search_vectors(workspace, settings, table, vectors.shape[1], stage)
    content = content_of(vectors, prices_of(catalog, table), searches)
    parted = part(sequences, settings)
    with stage("Learn what users take next") as progress:
        network, curve = _learned(workspace, settings, content, taxonomy, parted, progress)
    with stage("Weigh it against what was taken along and what is alike") as progress:
        model = SequenceModel(network)
        if given.memory:
            new_share = share_of_new(table.item[table.item >= 0].astype(np.int64))
            model = mixed(
                network,
                parted.known,
                parted.asked,
                parted.taken,
                vectors=vectors,
                new_share=new_share,
                progress=progress,
            )
    model = replace(model, pool=_pool(sequences, len(catalog)), queries=table.queries)
    arrays, meta = model.state()
    artifacts.save(workspace.models, SEQUENCE, arrays, {"key": key, "sequence": meta, "curve": curve})
    _drop_checkpoints(workspace)
    return model


def _wanted(settings: Settings, taxonomy: Taxonomy) -> dict[str, object]:
    """What of the settings, and of the tree, changes what is learned."""
    given = settings.sequence
    wanted: dict[str, object] = asdict(replace(given, policies=False))  # who may see it changes nothing
    if given.balance == "none":
        for name in ("balance", "coverage", "calibration"):
            del wanted[name]
    else:
        wanted["interests"] = taxonomy.top.tolist()
    if given.balance == "lagrangian":
        wanted["epsilon"] = settings.explore.epsilon
    return wanted


def _pool(sequences: Sequences, items: int) -> Rows | None:
    """The most taken items; None where those are all."""
    if items <= _POOL:
        return None
    taken = np.bincount(sequences.tokens[sequences.tokens < items], minlength=items)
    return np.sort(np.argsort(-taken, kind="stable")[:_POOL])


def _drop_checkpoints(workspace: Workspace) -> None:
    from honeyguide.plm.train.checkpoint import drop_checkpoints

    drop_checkpoints(workspace.cache / _SCRATCH)


def _learned(
    workspace: Workspace,
    settings: Settings,
    content: Vectors,
    taxonomy: Taxonomy,
    parted: Parted,
    progress: Progress,
) -> tuple[SequenceNetwork, list[dict[str, float]]]:
    import torch

    from honeyguide.interests.train.learn import HeldOut, learn_sequences
    from honeyguide.plm.train.devices import Place, device_named

    learned = learn_sequences(
        content,
        len(taxonomy.members),
        parted.known,
        HeldOut(parted.asked, parted.targets),
        _plan(settings),
        interests=taxonomy.top,
        place=Place(device_named(settings.training.device), torch.float32),
        folder=workspace.cache / _SCRATCH,
        progress=progress,
    )
    return learned.network, [{"epoch": epoch, **figures} for epoch, figures in learned.curve]


def prices_of(catalog: Catalog, table: EventTable) -> list[float | None]:
    """(n,): the catalogue's prices, or else the median of what was paid."""
    bought = table.kind == EVENT_KINDS.index("purchase")
    return prices_or_paid(
        catalog.prices, table.item[bought].astype(np.int64), table.value[bought].astype(np.float64)
    )


def sequences_of(table: EventTable, items: int) -> Sequences:
    """What is learned from: searches after a user's last item are followed by nothing, and left out."""
    return Sequences.of(table, items).ending_in_items(items)


def _search_vectors(
    workspace: Workspace, settings: Settings, table: EventTable, dim: int, stage: Stage
) -> Vectors:
    """(queries, dim): of all searches; of very many only the most frequent are read, and the others' are 0."""
    found = np.zeros((len(table.queries), dim), dtype=np.float32)
    if table.query is None or not table.queries:
        return found
    asked = np.bincount(table.query[table.query >= 0], minlength=len(table.queries))
    chosen = np.sort(np.argsort(-asked, kind="stable")[:_SEARCHES])
    encoder = open_encoder(
        artifacts.load(workspace.models, ENCODER), batch_size=settings.plm.batch_size, prompt="query"
    )
    with stage("Read the searches with the language model") as progress:
        texts = [table.queries[row] for row in chosen]
        found[chosen] = catalogue_vectors(
            encoder, texts, cache=workspace.cache / "searches", progress=progress
        )
    return found


def _plan(settings: Settings) -> SequencePlan:
    from honeyguide.interests.sequence.network import Shape
    from honeyguide.interests.train.plan import Balance, SequencePlan

    given, balance = settings.sequence, None
    if given.balance != "none":
        balance = Balance(
            given.balance,  # type: ignore[arg-type]
            given.coverage,
            given.calibration,
            settings.explore.epsilon,
        )
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
        balance=balance,
        seed=settings.seed,
    )


def held_out_users(able: int, share: float) -> int:
    """Of how many users the last basket is held out, where so many have one and others before it.

    >>> [held_out_users(able, 0.1) for able in (1, 30, 2000, 20_000, 10**6)]
    [1, 10, 667, 2000, 5000]
    """
    least = min(_LEAST, round(able / 3))
    return min(max(1, round(share * able), least), _HELD)


@dataclass(frozen=True, slots=True, eq=False)
class Parted:
    """What is learned from, `known`; of some users the events before, `asked`, and what they have `taken` then."""

    known: Sequences
    asked: Sequences
    taken: Sequences

    @property
    def targets(self) -> Rows:
        """(u,): the item that each of them took last."""
        return self.taken.from_last(0)


def part(sequences: Sequences, settings: Settings) -> Parted:
    """The log without the last moment of some users, and that moment.

    A basket is held out whole: of one that was learned from, the rest is told by what goes along.
    """
    everybody = np.arange(len(sequences))
    before = sequences.without_last_moment_of(everybody)
    whole = bool((before.lengths > 0).any())  # in a log of single baskets the last item of some has to do
    if not whole:
        before = sequences.without_last(1)
    able = np.flatnonzero(before.lengths > 0)
    count = held_out_users(len(able), settings.sequence.held_out)
    users = np.sort(np.random.default_rng(settings.seed).choice(able, count, replace=False)).astype(np.int64)
    cut = sequences.without_last_moment_of if whole else sequences.without_last_of
    asked = before.of_users(users)
    return Parted(cut(users), asked, sequences.of_users(users).beyond(asked))
