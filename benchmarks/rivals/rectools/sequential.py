"""RecTools' transformers over item ids: SASRec, eSASRec, BERT4Rec."""

# mypy: disable-error-code="import-not-found,import-untyped"
from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytorch_lightning as pl
from rectools.models import BERT4RecModel, SASRecModel
from rectools.models.nn.transformers.ligr import LiGRLayers

from rivals.exchange import Histories, Rows
from rivals.ranking import Ranking
from rivals.rectools.simple import as_dataset
from rivals.rectools.watch import trainer
from rivals.task import Done, Stopwatch, Task

LOSSES = {"sampled": "sampled_softmax"}


def sasrec(task: Task) -> Done:
    """Settings: those of SASRecModel."""
    return _trained(task, SASRecModel)


def esasrec(task: Task) -> Done:
    """SASRec with LiGR layers; its authors train it with the sampled softmax."""
    return _trained(task, SASRecModel, transformer_layers_type=LiGRLayers)


def bert4rec(task: Task) -> Done:
    """Settings: those of BERT4RecModel."""
    return _trained(task, BERT4RecModel)


def _trained(task: Task, kind: Any, **further: Any) -> Done:  # noqa: ANN401
    options = task.options
    pl.seed_everything(options.seed)
    read = cache(lambda histories: _Read.of(model, histories))  # validation asks the same after every epoch
    progress = task.progress(lambda held: held.ndcg(read(held.histories).ranking(model, task)))
    model = kind(
        n_factors=options.width,
        n_blocks=options.blocks,
        n_heads=options.heads,
        dropout_rate=options.dropout,
        session_max_len=options.length,
        loss=LOSSES.get(options.loss, options.loss),
        n_negatives=options.negatives,
        lr=0.001 if options.lr is None else options.lr,
        batch_size=options.batch or 128,
        dataloader_num_workers=0,
        recommend_torch_device=options.device,
        get_trainer_func=lambda: trainer(progress, options.device),
        **further | dict(options.further),
    )
    watch = Stopwatch()
    model.fit(as_dataset(task.train, np.unique(task.train.items)))
    seconds = watch.seconds() - progress.valid_seconds
    ranking = _Read.of(model, task.asked).ranking(model, task)
    parameters = sum(p.numel() for p in model.torch_model.parameters())
    return Done(ranking.best(options.k, keep_seen=options.keep_seen), seconds, parameters, progress)


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """Histories as the trained model reads them: its batches, and which of their rows is whose."""

    histories: Histories
    known: Rows
    batches: list[Any]
    rows: Rows

    @classmethod
    def of(cls, model: Any, histories: Histories) -> _Read:  # noqa: ANN401
        prepared = model.data_preparator
        known = prepared.get_known_item_ids().astype(np.int64)
        dataset = as_dataset(histories, known)
        told = np.sort(dataset.user_id_map.external_ids)
        dataset = prepared.transform_dataset_u2i(dataset, told)
        batches = list(prepared.get_dataloader_recommend(dataset, 256))
        return cls(histories.of(told), known, batches, dataset.user_id_map.convert_to_internal(told))

    def ranking(self, model: Any, task: Task) -> Ranking:  # noqa: ANN401
        device = task.options.device
        users, items = model.lightning_model._get_user_item_embeddings(self.batches, device)
        trained = items.cpu().numpy()[-len(self.known) :]
        return Ranking.of_known(
            users.numpy()[self.rows], trained, self.known, self.histories, task.n_items, device
        )
