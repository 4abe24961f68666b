"""RecTools' transformers over item ids: SASRec, eSASRec, BERT4Rec."""

# mypy: disable-error-code="import-not-found,import-untyped"
from __future__ import annotations

from typing import Any

import numpy as np
import pytorch_lightning as pl
from rectools.models import BERT4RecModel, SASRecModel
from rectools.models.nn.transformers.ligr import LiGRLayers

from rivals.exchange import Histories
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
    progress = task.progress(lambda held: held.ndcg(_ranking(model, held.histories, task.n_items)))
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
        recommend_torch_device="cpu",
        get_trainer_func=lambda: trainer(progress),
        **further | dict(options.further),
    )
    watch = Stopwatch()
    model.fit(as_dataset(task.train, np.unique(task.train.items)))
    seconds = watch.seconds() - progress.valid_seconds
    ranking = _ranking(model, task.asked, task.n_items)
    parameters = sum(p.numel() for p in model.torch_model.parameters())
    return Done(ranking.best(options.k, keep_seen=options.keep_seen), seconds, parameters, progress)


def _ranking(model: Any, histories: Histories, n_items: int) -> Ranking:  # noqa: ANN401
    prepared = model.data_preparator
    known = prepared.get_known_item_ids().astype(np.int64)
    dataset = as_dataset(histories, known)
    told = np.sort(dataset.user_id_map.external_ids)
    dataset = prepared.transform_dataset_u2i(dataset, told)
    users, items = model.lightning_model._get_user_item_embeddings(
        prepared.get_dataloader_recommend(dataset, 256), "cpu"
    )
    rows = dataset.user_id_map.convert_to_internal(told)
    return Ranking.of_known(
        users.numpy()[rows], items.numpy()[-len(known) :], known, histories.of(told), n_items
    )
