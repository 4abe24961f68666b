"""Pages drawn and learned by Vowpal Wabbit, slot by slot from its own pmfs, or as one conditional bandit (CCB).

Features come as text: namespaces `u` (who it is, shared), `n` (which item) and `f` (numbers, an item's own).
"""

# mypy: disable-error-code="import-not-found,import-untyped"
from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

import vowpalwabbit


@dataclass(frozen=True)
class Shown:
    """A page as it was drawn: the parsed examples, which of the actions was chosen in each slot, and how likely."""

    examples: list[Any]
    chosen: list[int]
    chances: list[float]


class Pages(Protocol):
    """A way to draw pages and to learn from them."""

    def draw(self, user: str, actions: Sequence[str], k: int, rng: random.Random) -> Shown:
        """A page of k distinct actions."""
        ...

    def logged(self, user: str, actions: Sequence[str], chosen: list[int], chances: list[float]) -> Shown:
        """A page that something else has drawn."""
        ...

    def learn(self, shown: Shown, rewards: Sequence[float]) -> None:
        """Learn what each slot of a page earned; the page cannot be learned again."""
        ...


class Slots:
    """One contextual bandit with explicit actions (ADF) for all slots: each chooses among what is left.

    With `plain` what was drawn is learned as if it had been certain: a regression on what was shown.
    """

    def __init__(self, vw: Any, *, plain: bool) -> None:  # noqa: ANN401
        self._vw = vw
        self._plain = plain

    def draw(self, user: str, actions: Sequence[str], k: int, rng: random.Random) -> Shown:
        """Slot after slot from the pmf that VW has for what is left."""
        return self.draw_of(self.parse(user, actions), k, rng)

    def draw_of(self, examples: list[Any], k: int, rng: random.Random) -> Shown:
        """The same of examples that are parsed already."""
        left, chosen, chances = list(range(len(examples) - 1)), list[int](), list[float]()
        for _ in range(k):
            pmf = self._vw.predict([examples[0], *(examples[1 + row] for row in left)])
            at = drawn(pmf, rng)
            chosen.append(left.pop(at))
            chances.append(pmf[at] / sum(pmf))
        return Shown(examples, chosen, chances)

    def logged(self, user: str, actions: Sequence[str], chosen: list[int], chances: list[float]) -> Shown:
        """A page that something else has drawn."""
        return Shown(self.parse(user, actions), chosen, chances)

    def parse(self, user: str, actions: Sequence[str]) -> list[Any]:
        """The shared example and those of the actions."""
        found: list[Any] = self._vw.parse([f"shared |u {user}", *actions])
        return found

    def learn(self, shown: Shown, rewards: Sequence[float]) -> None:
        """A multi-line example for each slot: the cost is minus the reward."""
        shared, left = shown.examples[0], shown.examples[1:]
        for row, chance, reward in zip(shown.chosen, shown.chances, rewards, strict=True):
            example = shown.examples[1 + row]
            # in later slots this one is no action any more, so its label need not be taken off
            example.set_label_string(f"0:{-reward}:{1.0 if self._plain else chance:.8g}")
            self._vw.learn([shared, *left])
            left.remove(example)
        self._vw.finish_example(shown.examples)

    def finish(self, shown: Shown) -> None:
        """Nothing will be learned of this page."""
        self._vw.finish_example(shown.examples)


class Conditional:
    """All slots of a page as one example of VW's conditional contextual bandit."""

    def __init__(self, vw: Any, *, plain: bool) -> None:  # noqa: ANN401
        self._vw = vw
        self._plain = plain

    def draw(self, user: str, actions: Sequence[str], k: int, rng: random.Random) -> Shown:
        """VW draws the page itself; what is drawn stands first among each slot's actions."""
        examples = self._parse(user, actions, k, tag=f"seed{rng.getrandbits(32)}")
        slots = [slot[0] for slot in self._vw.predict(examples)]
        return Shown(examples, [row for row, _ in slots], [chance for _, chance in slots])

    def logged(self, user: str, actions: Sequence[str], chosen: list[int], chances: list[float]) -> Shown:
        """A page that something else has drawn."""
        return Shown(self._parse(user, actions, len(chosen)), chosen, chances)

    def learn(self, shown: Shown, rewards: Sequence[float]) -> None:
        """One example for the page."""
        slots = shown.examples[-len(shown.chosen) :]
        for example, row, chance, reward in zip(slots, shown.chosen, shown.chances, rewards, strict=True):
            example.set_label_string(f"ccb slot {row}:{-reward}:{1.0 if self._plain else chance:.8g}")
        self._vw.learn(shown.examples)
        self._vw.finish_example(shown.examples)

    def _parse(self, user: str, actions: Sequence[str], k: int, *, tag: str = "") -> list[Any]:
        lines = [f"ccb shared {tag}|u {user}", *(f"ccb action {line}" for line in actions)]
        found: list[Any] = self._vw.parse([*lines, *["ccb slot |s page"] * k])
        return found


def drawn(pmf: Sequence[float], rng: random.Random) -> int:
    """A place drawn from a pmf that sums to about 1."""
    sums = list(accumulate(pmf))
    point = rng.random() * sums[-1]
    return next(place for place, total in enumerate(sums) if total > point)


def workspace(arguments: str) -> Any:  # noqa: ANN401
    """VW with these arguments."""
    return vowpalwabbit.Workspace(f"{arguments} --quiet")


def actions_of(items: Sequence[str], features: Sequence[Sequence[float]]) -> list[str]:
    """A line for each item: its name, and its numbers."""
    width = len(features[0]) if features else 0
    form = " ".join(f"{column}:%.7g" for column in range(width))
    return [f"|n {item} |f {form % tuple(numbers)}" for item, numbers in zip(items, features, strict=True)]
