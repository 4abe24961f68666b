"""What was looked at, what was found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

State: TypeAlias = Literal["ok", "warning", "broken"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `remedy` says what to do, and is empty where nothing is to be done."""

    name: str
    state: State
    said: str
    remedy: str = ""


def fine(name: str, said: str) -> Check:
    """Nothing is wrong."""
    return Check(name, "ok", said)


def warning(name: str, said: str, remedy: str) -> Check:
    """It works, and may not for long, or not as well as it could."""
    return Check(name, "warning", said, remedy)


def broken(name: str, said: str, remedy: str) -> Check:
    """Something does not work, or will lose what was acknowledged."""
    return Check(name, "broken", said, remedy)
