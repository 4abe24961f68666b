"""Vowpal Wabbit as a policy in a process of its own: it draws pages and learns what they earned.

python -m rivals.vw.serve SETTINGS    (JSON: arguments, conditional, plain)

A request is a line of JSON, after which come `floats` numbers of 4 bytes each, a row of features for each item. All
but `logged` are answered by a line of JSON. `do` says what is asked:

page     {"learn": [[id, rewards], ...], "id", "user", "items", "k"} -> {"chosen", "chances"}: rows of the items
logged   {"user", "items", "chosen", "chances", "rewards"}: a page that another policy drew is learned from
warm     what was learned so far is what every season begins with
season   {"seed"}: begin again
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from rivals.vw.pages import Conditional, Pages, Shown, Slots, actions_of, workspace


class Served:
    """One configuration of VW, its waiting pages, and the model that seasons begin with."""

    def __init__(self, settings: dict[str, Any], folder: Path) -> None:
        self._arguments: str = settings["arguments"]
        self._conditional: bool = settings["conditional"]
        self._plain: bool = settings["plain"]
        self._warm = folder / "warm.model"
        self._waiting: dict[str, Shown] = {}
        self._seed = 0
        self.season(0)

    def season(self, seed: int) -> None:
        """Begin with the warm model, or with nothing where there is none."""
        self._seed = seed
        self._waiting.clear()
        # a saved model keeps its own random seed, and no other may be given
        start = f"-i {self._warm}" if self._warm.exists() else f"--random_seed {seed}"
        self._vw = workspace(f"{self._arguments} {start}")
        self._pages: Pages = (Conditional if self._conditional else Slots)(self._vw, plain=self._plain)

    def warm(self) -> None:
        """Keep what was learned."""
        self._vw.save(str(self._warm))

    def page(self, request: dict[str, Any], features: list[list[float]]) -> dict[str, Any]:
        """Learn what became known, then draw a page."""
        for name, rewards in request["learn"]:
            self._pages.learn(self._waiting.pop(name), rewards)
        rng = random.Random(f"{self._seed}:{request['id']}")
        actions = actions_of(request["items"], features)
        shown = self._pages.draw(request["user"], actions, request["k"], rng)
        self._waiting[request["id"]] = shown
        return {"chosen": shown.chosen, "chances": shown.chances}

    def logged(self, request: dict[str, Any], features: list[list[float]]) -> None:
        """Learn from another policy's page."""
        actions = actions_of(request["items"], features)
        shown = self._pages.logged(request["user"], actions, request["chosen"], request["chances"])
        self._pages.learn(shown, request["rewards"])


def serve(settings: dict[str, Any], source: BinaryIO, target: BinaryIO) -> None:
    """Answer until the source ends."""
    with tempfile.TemporaryDirectory() as folder:
        served = Served(settings, Path(folder))
        answers: dict[str, Callable[[dict[str, Any], list[list[float]]], dict[str, Any] | None]] = {
            "page": served.page,
            "logged": served.logged,
            "warm": lambda *_: served.warm(),
            "season": lambda request, _: served.season(request["seed"]),
        }
        while line := source.readline():
            request = json.loads(line)
            features = _features(source, int(request["floats"]), len(request.get("items", ())))
            answer = answers[request["do"]](request, features)
            if request["do"] != "logged":
                target.write(json.dumps(answer or {}).encode() + b"\n")
                target.flush()


def _features(source: BinaryIO, floats: int, items: int) -> list[list[float]]:
    if not floats:
        return []
    numbers = array("f", source.read(4 * floats)).tolist()
    width = floats // items
    return [numbers[start : start + width] for start in range(0, floats, width)]


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]), sys.stdin.buffer, sys.stdout.buffer)
