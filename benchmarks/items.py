"""How much processor time do items take from being put until they are shown, and what do they cost every page?

OPENBLAS_NUM_THREADS=1 python benchmarks/items.py --shop FOLDER [--items 1000] [--seeds ROUNDS] [--json OUT]

The shop's journal is left alone: pages go into one of their own. Items are copies of the shop's, with the words of
their titles shuffled. Beside a page before so many items were put stand one after it, the first page after a change,
which makes the shop's view anew, and the put: all texts read by the language model, beside the thread that decides.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from honeyguide import Honeyguide, Item
from rows import Row, report

PAGES = 30


def copies(shop: Honeyguide, count: int, rng: np.random.Generator) -> list[Item]:
    """New items like those that the shop has."""
    catalog = shop.fitted.catalog
    found = []
    for number, row in enumerate(rng.integers(len(catalog), size=count).tolist()):
        title = " ".join(rng.permutation(catalog.titles[row].split() or ["new"]))
        category, brand, price = catalog.categories[row], catalog.brands[row], catalog.prices[row]
        found.append(Item(f"put-{number}", title=title, category=category, brand=brand, price=price))
    return found


def pages(shop: Honeyguide) -> float:
    """The median seconds of a page."""
    users = [*list(shop.fitted.histories)[: PAGES // 2], *(f"new-{number}" for number in range(PAGES // 2))]
    return float(np.median([seconds(partial(shop.decide, user, k=10)) for user in users]))


def seconds(work: Callable[[], object]) -> float:
    """Processor time, of all threads: what else runs on the machine is left out, and so is the wait for the disk."""
    start = time.process_time()
    work()
    return time.process_time() - start


def measured(folder: Path, count: int, seed: int) -> tuple[float, ...]:
    """Seconds of a page before, of the put, of the first page after it, of a page then, of one after one more put."""
    with tempfile.TemporaryDirectory() as scratch:
        shop = Honeyguide.open(folder, store=Path(scratch) / "journal.db")
        shop.read_texts([Item("warm", title="warm up")])
        pages(shop)
        before = pages(shop)
        items = copies(shop, count, np.random.default_rng(seed))
        putting = seconds(partial(shop.put_items, items))
        first = seconds(partial(shop.decide, "first", k=10))
        after = pages(shop)
        shop.put_items([Item("one", title="one more")])
        again = seconds(partial(shop.decide, "first", k=10))
        shop.journal.close()
    return before, putting, first, after, again


def main() -> None:
    """Put items, and print what they cost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shop", type=Path, required=True)
    parser.add_argument("--items", type=int, default=1_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=None)
    asked = parser.parse_args()
    found = [measured(asked.shop, asked.items, seed) for seed in range(asked.seeds)]
    before, putting, first, after, again = map(list, zip(*found, strict=True))
    name, beside = f"items: {asked.items:,} put", "a page before"
    report(
        [
            Row.of(name, "a page, s", after, beside, before),
            Row.of(name, "the first page after, s", first, beside, before),
            Row.of(name, "the first page after one more, s", again, beside, before),
            Row.of(name, "the put, s", putting, beside, before),
        ],
        asked,
    )


if __name__ == "__main__":
    main()
