"""How long Vowpal Wabbit takes to draw pages with their propensities, timed in its own process.

python -m rivals.vw.speed CANDIDATES D PAGES SEED

A request is a line of JSON, {"way", "k", "decisions"}; the answer {"seconds"} is of one core for all of them. Ways:
`bag-5, text` makes the text of a page out of its numbers and has it parsed, `epsilon-greedy, parsed` finds its pages
parsed already. Both then ask for every slot on what is left and draw. Every user has weights of their own (-q uf).
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from rivals.vw.pages import Shown, Slots, actions_of, workspace

LEARNED = 20


class Timed:
    """Both ways, on pages of random features."""

    def __init__(self, candidates: int, d: int, pages: int, seed: int) -> None:
        self._rng = random.Random(seed)
        self._items = [f"item-{row}" for row in range(candidates)]
        self._pages = [
            [[self._rng.uniform(-1, 1) for _ in range(d)] for _ in self._items] for _ in range(pages)
        ]
        form = "--cb_explore_adf -q uf --ignore n -b 20 --cb_type mtr"
        self._bag = Slots(workspace(f"{form} --bag 5"), plain=False)
        self._greedy = Slots(workspace(f"{form} --epsilon 0.02"), plain=False)
        for slots in (self._bag, self._greedy):
            for nth in range(LEARNED):
                page = self._pages[nth % pages]
                shown = slots.draw(f"user-{nth % pages}", actions_of(self._items, page), 5, self._rng)
                slots.learn(shown, [float(self._rng.random() < 0.2) for _ in range(5)])
        self._parsed = [
            self._greedy.parse(f"user-{nth}", actions_of(self._items, page))
            for nth, page in enumerate(self._pages)
        ]

    def bag_text(self, nth: int, k: int) -> Shown:
        """A page from numbers to propensities."""
        at = nth % len(self._pages)
        shown = self._bag.draw(f"user-{at}", actions_of(self._items, self._pages[at]), k, self._rng)
        self._bag.finish(shown)
        return shown

    def greedy_parsed(self, nth: int, k: int) -> Shown:
        """A page from parsed examples to propensities."""
        return self._greedy.draw_of(self._parsed[nth % len(self._parsed)], k, self._rng)


def main(numbers: Sequence[str]) -> None:
    """Answer until the input ends."""
    timed = Timed(*map(int, numbers))
    ways: dict[str, Callable[[int, int], Shown]] = {
        "bag-5, text": timed.bag_text,
        "epsilon-greedy, parsed": timed.greedy_parsed,
    }
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        decide, k = ways[request["way"]], int(request["k"])
        start = time.process_time()
        for nth in range(int(request["decisions"])):
            decide(nth, k)
        print(json.dumps({"seconds": time.process_time() - start}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
