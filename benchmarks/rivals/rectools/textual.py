"""RecTools' UniSRec: a transformer over the items' frozen text vectors, no item ids."""

# mypy: disable-error-code="import-not-found,import-untyped,misc"
from __future__ import annotations

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from rectools.fast_transformers import UniSRecModel

from rivals.exchange import Histories
from rivals.progress import Progress
from rivals.ranking import Ranking
from rivals.rectools.watch import trainer
from rivals.task import Done, Stopwatch, Task

LOSSES = {"sampled": "sampled_softmax"}


def unisrec(task: Task) -> Done:
    """Settings: those of UniSRecModel (adaptor_type, projection_hidden, lr_head, optimizer, scheduler, ...)."""
    options = task.options
    if task.vectors is None:
        raise SystemExit("UniSRec learns from text: give --vectors")
    pl.seed_everything(options.seed)
    progress = task.progress(lambda held: held.ndcg(_ranking(model.under_training, task, held.histories)))
    model = _Watched(
        progress,
        options.device,
        torch.from_numpy(task.vectors),
        n_factors=options.width,
        n_blocks=options.blocks,
        n_heads=options.heads,
        dropout=options.dropout,
        session_max_len=options.length,
        loss=LOSSES.get(options.loss, options.loss),
        n_negatives=None if options.loss == "softmax" else options.negatives,
        batch_size=options.batch or 128,
        **({} if options.lr is None else {"lr": options.lr}) | dict(options.further),
    )
    watch = Stopwatch()
    events = task.train.events()
    model.fit(*(torch.from_numpy(column) for column in (events.users, events.items, events.positions)))
    seconds = watch.seconds() - progress.valid_seconds
    answer = _ranking(model.net, task, task.asked).best(options.k, keep_seen=options.keep_seen)
    parameters = sum(p.numel() for p in model.net.parameters())
    return Done(answer, seconds, parameters, progress)


class _Watched(UniSRecModel):
    """The library's model under our trainer: its own stops on the training loss and ranks nothing."""

    def __init__(self, progress: Progress, device: str, vectors: torch.Tensor, **further: Any) -> None:  # noqa: ANN401
        super().__init__(vectors, **further)
        self._progress = progress
        self._trained_on = device
        self.under_training: Any = None

    def _make_trainer(self, max_epochs: int, val_dl: Any = None) -> Any:  # noqa: ANN401
        return trainer(self._progress, self._trained_on, gradient_clip_val=self.grad_clip)

    def _make_lightning(self, net: Any, *further: Any) -> Any:  # noqa: ANN401
        self.under_training = net
        return super()._make_lightning(net, *further)


@torch.no_grad()
def _ranking(net: Any, task: Task, histories: Histories) -> Ranking:  # noqa: ANN401
    """All items have a vector, those that training never saw as well: the network is shown the whole catalogue."""
    assert task.vectors is not None
    device = task.options.device
    asked = histories.of(histories.users[np.diff(histories.starts) > 0])
    net.to(device).eval()
    trained = net.frozen_emb
    net.frozen_emb = torch.from_numpy(np.pad(task.vectors, ((1, 0), (0, 0))))[:, None].to(device)
    padded = torch.from_numpy(_left_padded(asked, net.session_max_len)).to(device)
    users = torch.cat([net.encode_last(part) for part in torch.split(padded, 256)])
    items = net.project_all()[1:]
    net.frozen_emb = trained
    return Ranking(users.cpu().numpy(), items.cpu().numpy(), asked, np.empty(0, np.int64), device)


def _left_padded(histories: Histories, length: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    padded = np.zeros((len(histories.users), length), np.int64)
    for row, items in enumerate(histories):
        padded[row, length - min(len(items), length) :] = items[-length:] + 1
    return padded
