"""What a rival is asked on its command line, read from the files that crossed, and how its answer is written."""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from rivals.exchange import (
    Answer,
    Floats,
    Histories,
    Rows,
    read_events,
    read_targets,
    read_users,
    write_answer,
)
from rivals.progress import Progress
from rivals.ranking import Ranking


@dataclass(frozen=True, slots=True)
class Options:
    """How to train; what is None is left to the model's own default."""

    model: str
    epochs: int | None
    seconds: float | None
    patience: int | None
    width: int
    blocks: int
    heads: int
    dropout: float
    length: int
    loss: str
    negatives: int
    lr: float | None
    batch: int | None
    seed: int
    threads: int
    device: str
    k: int
    keep_seen: bool
    further: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """Users whose history is known, and the one item of each that was held out."""

    histories: Histories
    targets: Rows

    def ndcg(self, ranking: Ranking) -> float:
        """NDCG@10 over all these users; one whom the ranking leaves out counts as missed."""
        ranked = np.isin(self.histories.users, ranking.histories.users)
        return ranking.ndcg(self.targets[ranked]) * float(ranked.mean())


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """Histories to learn from and to answer, text vectors (n, d) where given, and the size of the catalogue."""

    train: Histories
    asked: Histories
    vectors: Floats | None
    validation: Validation | None
    n_items: int
    options: Options

    def progress(self, figure: Callable[[Validation], float]) -> Progress:
        """An empty record of the training; `figure` is asked after each epoch where there is what to validate on."""
        options, held = self.options, self.validation
        validate = None if held is None else lambda: figure(held)
        return Progress(options.epochs, options.seconds, options.patience, validate)


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """An answer and what it took: seconds of the fit without validation, parameters, and how training went."""

    answer: Answer
    seconds: float
    parameters: int
    progress: Progress | None = None


def read_task(
    models: tuple[str, ...], doc: str | None, arguments: list[str] | None = None
) -> tuple[Task, Path]:
    """The task that the command line names, and the folder to answer in."""
    given = _parser(models, doc).parse_args(arguments)
    train = read_events(given.train).histories()
    users = read_users(given.ask)
    asked = train.of(users)
    if given.new_histories is not None:
        asked = _first_of(read_events(given.new_histories).histories().of(users), asked)
    vectors = None if given.vectors is None else np.load(given.vectors, allow_pickle=False).astype(np.float32)
    return (
        Task(
            train,
            asked,
            vectors,
            None if given.valid is None else _validation(given.valid, train),
            _size(train, vectors, given.items),
            _options(given),
        ),
        given.out,
    )


def write_done(folder: Path, task: Task, done: Done, packages: tuple[str, ...]) -> None:
    """`top.parquet` and `run.json` in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_answer(folder / "top.parquet", done.answer)
    progress = done.progress
    told = {
        "model": task.options.model,
        "seconds_fit": done.seconds,
        "seconds_validation": progress.valid_seconds if progress else 0.0,
        "epochs": len(progress.curve) if progress else 0,
        "best_epoch": progress.best_epoch if progress else 0,
        "sequences_per_second": progress.rate() if progress else 0.0,
        "parameters": done.parameters,
        "versions": {name: version(name) for name in packages} | {"python": platform.python_version()},
        "settings": {**asdict(task.options), "further": dict(task.options.further)},
        "curve": [[p.epoch, p.seconds, p.loss, p.ndcg] for p in (progress.curve if progress else [])],
    }
    (folder / "run.json").write_text(json.dumps(told, indent=1))
    print(
        f"{task.options.model}: {len(done.answer.users):,} users answered, fitted in {done.seconds:.1f} s",
        flush=True,
    )


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self._began


def _validation(path: Path, train: Histories) -> Validation:
    users, targets = read_targets(path)
    known = np.isin(users, train.users)
    return Validation(train.of(users[known]), targets[known])


def _first_of(wanted: Histories, otherwise: Histories) -> Histories:
    given = [a if len(a) else b for a, b in zip(wanted, otherwise, strict=True)]
    starts = np.cumsum([0, *(len(items) for items in given)], dtype=np.int64)
    return Histories(wanted.users, starts, np.concatenate([np.empty(0, np.int64), *given]))


def _size(train: Histories, vectors: Floats | None, items: int | None) -> int:
    if vectors is not None:
        return len(vectors)
    return items if items is not None else int(train.items.max()) + 1


def _options(given: argparse.Namespace) -> Options:
    return Options(
        model=given.model,
        epochs=given.epochs if given.epochs or given.seconds else 3,
        seconds=given.seconds,
        patience=given.patience,
        width=given.width,
        blocks=given.blocks,
        heads=given.heads,
        dropout=given.dropout,
        length=given.length,
        loss=given.loss,
        negatives=given.negatives,
        lr=given.lr,
        batch=given.batch,
        seed=given.seed,
        threads=given.threads,
        device=given.device,
        k=given.k,
        keep_seen=given.keep_seen,
        further=dict(_setting(text) for text in given.set),
    )


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _parser(models: tuple[str, ...], doc: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="parquet: user, item, position")
    parser.add_argument("--ask", type=Path, required=True, help="parquet: user")
    parser.add_argument(
        "--new-histories", type=Path, help="parquet like --train: what asked users have done by now"
    )
    parser.add_argument("--valid", type=Path, help="parquet: user, item that was held out")
    parser.add_argument("--vectors", type=Path, help="npy (n, d): the items' text vectors")
    parser.add_argument("--items", type=int, help="size of the catalogue, where there are no vectors")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", choices=models, required=True)
    parser.add_argument("--epochs", type=int, help="3 where neither epochs nor seconds are given")
    parser.add_argument("--seconds", type=float, help="of training, validation not counted")
    parser.add_argument("--patience", type=int, help="epochs without a better validation figure")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=1)
    parser.add_argument("--heads", type=int, default=1)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--length", type=int, default=50)
    parser.add_argument("--loss", choices=("softmax", "sampled", "gBCE", "BCE"), default="softmax")
    parser.add_argument("--negatives", type=int, default=256)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="what counts stays on the cpu"
    )
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--keep-seen", action="store_true", help="recommend what a user already has")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the model's own"
    )
    return parser
