"""A model card in Markdown, beside every model that was made (Mitchell et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_LIMITS = (
    "It knows what this shop's texts and its users' behaviour say, with all that is one-sided in them.",
    "It was made for this shop. What it says of other texts was not looked at.",
    "What users typed is part of what it has learned from; treat the file like the log itself.",
)


@dataclass(frozen=True, slots=True)
class Card:
    """What somebody who finds the model must know: `figures` are pairs of name and value."""

    title: str
    base: str
    purpose: str
    made_from: tuple[str, ...]
    how: tuple[str, ...]
    figures: tuple[tuple[str, str], ...]
    limits: tuple[str, ...] = _LIMITS


def checkpoint_name(checkpoint: str) -> str:
    """What a card calls a checkpoint: a folder by its own name, wherever it lies."""
    return Path(checkpoint).name if Path(checkpoint).is_dir() else checkpoint


def render_card(card: Card) -> str:
    """The card as a page."""
    lines = [f"# {card.title}", "", f"Made by Honeyguide from `{card.base}`. It {card.purpose}.", ""]
    lines += ["## Made from", "", *(f"- {line}" for line in card.made_from), ""]
    lines += ["## How", "", *(f"- {line}" for line in card.how), ""]
    if card.figures:
        lines += ["## Figures", "", "| figure | value |", "| --- | --- |"]
        lines += [f"| {name} | {value} |" for name, value in card.figures]
        lines.append("")
    lines += ["## Limits", "", *(f"- {line}" for line in card.limits), ""]
    return "\n".join(lines)
