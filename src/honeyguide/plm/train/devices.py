"""Where training runs: the processor or GPU, the precision it is fast at, and who else works on the same job."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

from honeyguide.errors import InvalidInput

_TRIES = 6
_PATIENCE = timedelta(days=2)  # others wait while the first reads and cleans what everybody needs
_WORTH_IT = 1.2  # half the bits are used from this speed-up on: what they cost in accuracy must buy something


@dataclass(frozen=True, slots=True)
class Place:
    """One process of a training job: its device, the precision of its products, and its rank among `world`."""

    device: torch.device
    dtype: torch.dtype
    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes what only one has to write."""
        return self.rank == 0


def find_place(device: str = "auto", precision: str = "auto") -> Place:
    """The place that `device` (auto, cpu, cuda, cuda:1) and `precision` (auto, float32, bfloat16) name.

    Started by torchrun, every process takes the GPU of its own local rank and joins the others.
    """
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    where = device_named(device)
    if world > 1:
        join(where)
    dtype = [_dtype(precision, where) if rank == 0 else None]
    if world > 1:  # one of them measures, for all must compute alike
        dist.broadcast_object_list(dtype, src=0)
    assert dtype[0] is not None
    return Place(where, dtype[0], rank, world)


def join(device: torch.device) -> None:
    """Become one of the processes that work together, unless this one is already."""
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)


def meet(device: str = "auto") -> None:
    """Wait until all processes of the job have come here; at once where this is the only one."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        join(device_named(device))
        dist.barrier()


T = TypeVar("T")


def in_turn(place: Place, work: Callable[[], T]) -> T:
    """What the work gives: the one that leads does it first, and the others find it done."""
    if not place.leads:
        dist.barrier()
    try:
        return work()
    finally:
        if place.leads and place.world > 1:
            dist.barrier()


def device_named(name: str) -> torch.device:
    """The device of that name; auto takes a GPU where there is one. InvalidInput where there is none such."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InvalidInput(f"{name!r} is no device: choose auto, cpu or cuda") from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise InvalidInput(
                "there is no CUDA device here: choose cpu, or auto to take one where there is one"
            )
        if device.index is None:
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    return device


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if precision == "auto":
        return torch.bfloat16 if bfloat16_speedup(device) >= _WORTH_IT else torch.float32
    if precision not in known:
        raise InvalidInput(f"precision must be one of auto, {', '.join(known)}, got {precision!r}")
    return known[precision]


def bfloat16_speedup(device: torch.device) -> float:
    """How many times faster one transformer layer learns in bfloat16 than in float32, measured here and now.

    The quickest of a few tries counts: whoever else is computing makes a try slower, never faster.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        layer = torch.nn.TransformerEncoderLayer(384, 12, 1536, batch_first=True).to(device)
        # a GPU is asked for what fills it: of a handful of texts both take as long as it takes to ask
        inputs = torch.randn(*((64, 128) if device.type == "cuda" else (8, 64)), 384, device=device)
        seconds = {
            half: min(_seconds(layer, inputs, half=half) for _ in range(_TRIES)) for half in (True, False)
        }
    return seconds[False] / seconds[True]


def _seconds(layer: torch.nn.Module, inputs: torch.Tensor, *, half: bool) -> float:
    began = time.perf_counter()
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=half):
        loss = layer(inputs).float().square().mean()
    loss.backward()
    if inputs.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began
