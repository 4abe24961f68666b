"""Chance that can be asked again: each draw is a function of a key and of what it is about, in whatever order."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from honeyguide.types import Floats

_GOLD = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def key_of(seed: int, about: str) -> int:
    """The key of all draws about one thing."""
    return int.from_bytes(blake2b(f"{seed}:{about}".encode(), digest_size=8).digest(), "little")


def uniforms(key: int, *parts: int | NDArray[Any]) -> Floats:
    """Uniform on (0, 1), one for each combination of the parts, whole numbers that broadcast; at least 1-d.

    SplitMix64's finaliser over the parts in turn (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number
    generators").
    """
    state = np.array([key], dtype=np.uint64)
    for part in parts:
        state = _mixed(state ^ (np.atleast_1d(np.asarray(part)).astype(np.uint64) * _GOLD))
    return ((state >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normals(key: int, *parts: int | NDArray[Any]) -> Floats:
    """Standard normal draws in the same way."""
    return np.asarray(ndtri(uniforms(key, *parts)))


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = state + _GOLD
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    return np.asarray(state ^ (state >> np.uint64(31)))
