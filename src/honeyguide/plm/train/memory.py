"""How a device says that its memory is full, and how it is given back what nobody needs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from honeyguide.errors import InvalidInput

# the processor's allocator and the matrix library of a GPU have no error of their own
_SIGNS = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "std::bad_alloc",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


class NoRoom(Exception):
    """The batch of that number did not fit; `divisible` where smaller pieces of it can be tried."""

    def __init__(self, number: int, told: str, *, divisible: bool) -> None:
        super().__init__(f"batch {number} does not fit into memory ({told})")
        self.number, self.divisible = number, divisible


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory is full.

    A processor's memory that the operating system gives out without having it is not told of by any error: then the
    process is killed, and goes on from its checkpoint.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def said(error: BaseException) -> str:
    """How much was asked for, as the device put it, in a line."""
    return str(error).partition("\n")[0][:200].rstrip(". ") or type(error).__name__


@contextmanager
def told_when_full(what: str, remedy: str) -> Iterator[None]:
    """InvalidInput that names `what` did not fit, and the remedy, where memory runs out within."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise InvalidInput(f"{what} does not fit into memory ({said(error)}): {remedy}") from None


def give_back(device: torch.device) -> None:
    """Let go of what is unreachable, and of what a GPU's allocator holds in reserve.

    A processor's allocator keeps what lies between things that are still needed, and may run short sooner than it
    would have to; with glibc, MALLOC_MMAP_THRESHOLD_=1048576 in the environment prevents that.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
