"""RecTools' models that count or factorise: popularity, implicit ALS, EASE, item neighbours."""

# mypy: disable-error-code="import-not-found,import-untyped"
from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender
from rectools import Columns
from rectools.dataset import Dataset, IdMap, Interactions
from rectools.models import (
    EASEModel,
    ImplicitALSWrapperModel,
    ImplicitItemKNNWrapperModel,
    PopularModel,
)

from rivals.exchange import NOTHING, Answer, Histories, Rows
from rivals.ranking import Ranking
from rivals.task import Done, Stopwatch, Task

NEIGHBOURS = {"cosine": CosineRecommender, "tfidf": TFIDFRecommender, "bm25": BM25Recommender}


def popular(task: Task) -> Done:
    """Settings: those of PopularModel."""
    return _recommended(task, PopularModel(**task.options.further))


def ease(task: Task) -> Done:
    """Setting: regularization (500)."""
    model = EASEModel(recommend_n_threads=task.options.threads, **task.options.further)
    return _recommended(task, model)


def item_knn(task: Task) -> Done:
    """Settings: similarity (cosine, tfidf, bm25), and those of implicit's class, K (20) above all."""
    settings = dict(task.options.further)
    kind = NEIGHBOURS[settings.pop("similarity", "cosine")]
    return _recommended(task, ImplicitItemKNNWrapperModel(kind(num_threads=task.options.threads, **settings)))


def als(task: Task) -> Done:
    """Settings: those of implicit's AlternatingLeastSquares (factors, regularization, alpha, iterations).

    Users are folded in from the history they are asked with, as implicit's own `recalculate_user` does.
    """
    options = task.options
    watch = Stopwatch()
    known = np.unique(task.train.items)
    inner = AlternatingLeastSquares(
        num_threads=options.threads,
        random_state=options.seed,
        use_gpu=False,
        **{"factors": options.width} | dict(options.further),
    )
    model = ImplicitALSWrapperModel(inner).fit(as_dataset(task.train, known))
    seconds = watch.seconds()
    asked = as_dataset(task.asked, known)
    told = np.sort(asked.user_id_map.external_ids)
    order = asked.user_id_map.convert_to_internal(told)
    matrix = asked.get_user_item_matrix().astype(np.float32)[order]
    users = np.asarray(model.model.recalculate_user(np.arange(len(told)), matrix))
    ranking = Ranking.of_known(users, model.model.item_factors, known, task.asked.of(told), task.n_items)
    answer = ranking.best(options.k, keep_seen=options.keep_seen)
    return Done(answer, seconds, inner.factors * (len(known) + len(task.train.users)))


def _recommended(task: Task, model: Any) -> Done:  # noqa: ANN401
    watch = Stopwatch()
    known = np.unique(task.train.items)
    model.fit(as_dataset(task.train, known))
    seconds = watch.seconds()
    asked = as_dataset(task.asked, known)
    table = model.recommend(
        asked.user_id_map.external_ids, asked, k=task.options.k, filter_viewed=not task.options.keep_seen
    )
    return Done(_as_answer(table, task), seconds, 0)


def as_dataset(histories: Histories, known: Rows) -> Any:  # noqa: ANN401
    """RecTools' Dataset: items that are not known are left out, time is the position."""
    events = histories.events()
    kept = np.isin(events.items, known)
    frame = pd.DataFrame(
        {
            Columns.User: events.users[kept],
            Columns.Item: events.items[kept],
            Columns.Weight: 1.0,
            Columns.Datetime: pd.to_datetime(events.positions[kept], unit="s"),
        }
    )
    users, items = IdMap.from_values(frame[Columns.User]), IdMap.from_values(known)
    return Dataset(users, items, Interactions.from_raw(frame, users, items))


def _as_answer(table: Any, task: Task) -> Answer:  # noqa: ANN401
    users, rows = np.unique(table[Columns.User].to_numpy(), return_inverse=True)
    items = np.full((len(users), task.options.k), NOTHING, np.int64)
    scores = np.full(items.shape, -np.inf, np.float32)
    at = rows, table[Columns.Rank].to_numpy() - 1
    items[at], scores[at] = table[Columns.Item].to_numpy(), table[Columns.Score].to_numpy()
    return Answer(users, items, scores)
