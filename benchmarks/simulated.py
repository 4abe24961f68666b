"""The shops that policies are tried in: their truth comes from real logs, their features from the items' texts."""

from __future__ import annotations

from pathlib import Path

from folders import item_texts, user_acts
from honeyguide.evaluate.simulate.planted import planted_shop
from honeyguide.evaluate.simulate.shops import SimulatedShop, simulated_shop
from rank_data import text_vectors
from times import read_timed

LEAST = 20
"""Of a log with times, items that were taken so often are left: of a year of groceries most are hardly ever taken."""


def read_simulated(folder: Path | None, model: str, *, seed: int = 0) -> SimulatedShop:
    """A folder of research data, or else a shop's workspace (made of the demo's data where there is none).

    Without a folder, a shop out of random numbers. The texts are read by the encoder `model`.
    """
    if folder is None:
        return planted_shop(seed=seed, items=1000, users=1000, interests=20, factors=16, dims=24)
    if (folder / "sequences.parquet").exists():
        ids, texts = item_texts(folder)
        users, items = user_acts(folder, ids)
        return simulated_shop(folder.name, ids, text_vectors(model, texts), users, items, seed=seed)
    timed = read_timed(folder, model, until_us=None, weeks=0, least=LEAST)
    ids = tuple(f"item-{row:06d}" for row in range(timed.log.items))
    items, users = timed.log.sequences.tokens, timed.log.users
    return simulated_shop(timed.log.name, ids, timed.vectors, users, items, seed=seed)
