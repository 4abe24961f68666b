"""Learning the sequence model from what users did."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.special import logsumexp

from honeyguide.errors import InvalidInput
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.sequence.network import SequenceNetwork
from honeyguide.interests.sequence.ranking import ndcg_of, parts_of, ranks_in
from honeyguide.interests.train.aims import EXPLOITATION, HELD_OUT, Interests, Standing
from honeyguide.interests.train.feed import SequenceFeed
from honeyguide.interests.train.going import Learning, learn_all
from honeyguide.interests.train.module import SequenceModule
from honeyguide.interests.train.plan import Balance, SequencePlan
from honeyguide.interests.train.weighing import WEIGHT
from honeyguide.plm.track import Tracker
from honeyguide.plm.train.devices import Place
from honeyguide.plm.train.schedule import Schedule
from honeyguide.types import Progress, Rows, Vectors, silent

Curve = tuple[tuple[float, Mapping[str, float]], ...]

_CHUNK = 65_536
_ASKED = 5000  # users who are asked at a look, at the most
K = 10


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """What to judge by: the events of u users, and the item that each took next, `targets` (u,)."""

    sequences: Sequences
    targets: Rows

    @classmethod
    def last_of(cls, sequences: Sequences, items: int, *, most: int = _ASKED, seed: int = 0) -> HeldOut:
        """The last events of users who have others before, where those are of an item; of `most` users drawn."""
        last = sequences.from_last(0)
        users = np.flatnonzero((last >= 0) & (last < items) & (sequences.lengths > 1))
        if len(users) > most:
            users = np.sort(np.random.default_rng(seed).choice(users, most, replace=False))
        return cls(sequences.without_last(1).of_users(users), last[users])


@dataclass(frozen=True, slots=True, eq=False)
class LearnedSequences:
    """A network, and how it was learned: figures by epoch, those of the events held out among them.

    `seconds` are those that this process learned for, looks left out, and `epochs` how many it took in all.
    """

    network: SequenceNetwork
    best_epoch: float
    curve: Curve
    epochs: float
    seconds: float


def learn_sequences(
    content: Vectors,
    items: int,
    sequences: Sequences,
    held_out: HeldOut | None,
    plan: SequencePlan,
    *,
    place: Place,
    folder: Path,
    interests: Rows | None = None,
    tracker: Tracker | None = None,
    progress: Progress = silent,
    clock: Callable[[], float] = time.perf_counter,
) -> LearnedSequences:
    """Learn from `sequences` whose tokens are rows of `content` (m, c), the first `items` of them items.

    With `held_out` the network is the one of the look that found its targets best, by NDCG@10 over all items.
    A plan that balances needs the `interests` (items,) of items, from 0 on. InvalidInput where there is nothing to
    learn from, or no such interests.
    """
    scale = _scale(content, plan.shape.width)
    content = (content * scale).astype(np.float32)
    shape = plan.shape
    feed = SequenceFeed.of(
        sequences, items, longest=shape.longest, negatives=plan.negatives, batch=plan.batch, seed=plan.seed
    )
    taken = np.bincount(sequences.tokens[sequences.tokens < items], minlength=items).astype(np.float64)
    with torch.random.fork_rng():
        torch.manual_seed(plan.seed)
        module = SequenceModule(content, taken, plan, place.device)
    known = None if plan.balance is None else Interests.in_log(_given(interests, items), sequences)
    key = _key(content, sequences, held_out, plan, interests)
    schedule = _schedule(plan, feed.per_epoch)
    job = Learning(module, feed, schedule, place, folder, key, tracker, progress)
    looking = 0.0

    def judge() -> Mapping[str, float]:
        nonlocal looking
        assert held_out is not None
        began = clock()
        figures = judged(snapshot(module, scale), held_out, known)
        looking += clock() - began
        return figures

    began = clock()
    learned = learn_all(job, None if held_out is None else judge, plan.balance, known)
    return LearnedSequences(
        network=snapshot(module, scale),
        best_epoch=learned.best_step / feed.per_epoch,
        curve=_curve(learned.history, feed.per_epoch, plan.balance),
        epochs=learned.steps / feed.per_epoch,
        seconds=clock() - began - looking,
    )


def _given(interests: Rows | None, items: int) -> Rows:
    if interests is None or len(interests) != items:
        raise InvalidInput(f"a balance needs the interests of all {items} items: give them, or leave it out")
    return interests


def _schedule(plan: SequencePlan, per_epoch: int) -> Schedule:
    return Schedule(
        min(plan.epochs * per_epoch, plan.steps or plan.epochs * per_epoch),
        learning_rate=plan.learning_rate,
        warmup_share=0.05,
        weight_decay=plan.weight_decay,
        clip=5.0,
        eval_every=plan.look_every or per_epoch,
        patience=plan.patience,
        checkpoint_every=max(200, per_epoch),
        seed=plan.seed,
    )


def judged(
    network: SequenceNetwork, held_out: HeldOut, interests: Interests | None = None
) -> Mapping[str, float]:
    """How well a network finds what was held out: `missed` is 1 - NDCG@10, `held_out` its loss over all items.

    With `interests` also how it stands to what is wanted beside.
    """
    gains, found, losses = 0.0, 0.0, 0.0
    standing = None if interests is None else Standing(interests)
    for users in parts_of(held_out.sequences, network.items):
        part, targets = held_out.sequences.of_users(users), held_out.targets[users]
        scores = network.score(part)
        if standing is not None:
            standing.see(scores, part)
        losses += float((logsumexp(scores, axis=1) - scores[np.arange(len(users)), targets]).sum())
        ranks = ranks_in(scores, part, targets)
        gains += float(ndcg_of(ranks, K).sum())
        found += float((ranks < K).sum())
    n = len(held_out.targets)
    figures = {"missed": 1 - gains / n, "held_out": losses / n, "ndcg": gains / n, "recall": found / n}
    return figures if standing is None else {**figures, **standing.figures()}


def _curve(
    history: Sequence[tuple[int, Mapping[str, float]]], per_epoch: int, balance: Balance | None
) -> Curve:
    """Figures at each look, by epoch; `train` is the mean loss of the steps since the look before."""
    beside = () if balance is None else balance.asked
    told = [*("held_out", "ndcg", "recall"), *(HELD_OUT + name for name in beside)]
    found, losses = [], []
    for step, figures in history:
        losses.append(figures.get(EXPLOITATION, figures["sequences"]))
        if "held_out" in figures:
            weights = {WEIGHT + name: figures.get(WEIGHT + name, 0.0) for name in beside}
            point = {"train": float(np.mean(losses)), **{name: figures[name] for name in told}, **weights}
            found.append((step / per_epoch, point))
            losses = []
    return tuple(found)


def snapshot(module: SequenceModule, scale: float) -> SequenceNetwork:
    """The network as it stands; `scale` is what contents were multiplied with before they were learned from."""
    module.eval()
    device = module.bias.device
    with torch.no_grad():
        parts = [
            module.vectors(torch.arange(first, min(first + _CHUNK, module.things), device=device))
            for first in range(0, module.things, _CHUNK)
        ]
    weights = {
        name: array.detach().float().cpu().numpy().copy()
        for name, array in module.state_dict().items()
        if name not in ("own.weight", "bias")
    }
    weights["content.weight"] *= scale
    shape = module.plan.shape
    if module.plan.loss == "contrastive":
        shape = replace(shape, sharpness=1 / module.plan.temperature)
    return SequenceNetwork(
        shape, torch.cat(parts).float().cpu().numpy(), module.biases().detach().cpu().numpy().copy(), weights
    )


def _scale(content: Vectors, width: int) -> float:
    """What gives contents a mean square norm of the width / 4: they then begin about as large as what is learned."""
    square = float((content.astype(np.float64) ** 2).sum(axis=1).mean())
    return 0.5 * float(np.sqrt(width / max(square, 1e-12)))


def _key(
    content: Vectors,
    sequences: Sequences,
    held_out: HeldOut | None,
    plan: SequencePlan,
    interests: Rows | None,
) -> str:
    digest = hashlib.sha256(repr(asdict(plan)).encode())
    arrays = [content, sequences.tokens, sequences.kinds, sequences.gaps, sequences.starts]
    if interests is not None:
        arrays.append(interests)
    if held_out is not None:
        asked = held_out.sequences
        arrays += [asked.tokens, asked.starts, asked.ahead, held_out.targets]
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
