"""What is recommended where nothing was learned: items that nobody took yet, and users who have just come.

    python benchmarks/cold.py --data FOLDER [--parts items users] [--rivals ...] [--seeds 3] [--json OUT] [--out DIR]

Items: a tenth of them loses all events, in training, in validation and in the histories of those who are asked. Users
whose last item is one of those are asked for it among all items; others tell what the new items cost them. Popularity
knows nothing of such items: they are level at the end of its list, and what is level stands in any order (expected
values), so it counts as chance where that is better. Of the cosines of the texts, with all that a user took or with
the last item, the better is the rival. `among cold` ranks new items alone, `price` is what warm recall loses to them.

Users: a tenth of them is withheld, and after 0, 1, 2 and 5 events the next item is asked for. Every model learns
once. Rivals know nobody who did nothing; then, and where their lists end early, they show what is popular, as a shop
would.

Each seed withholds others. FOLDER is that of `rank.py`; --json is written after every model, and --out gets the curve
of the users as a picture.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cold_items
import cold_users
from against import seeds_of, some_users, write
from curves import draw
from honeyguide.plm.train.devices import find_place
from rank import RIVALS, options_of
from rank_data import read_shop
from rows import show

OF_ITEMS = ("unisrec",)  # what else can recommend items that training never saw
OF_USERS = ("popular", "ease", "itemknn", "als", "sasrec", "unisrec")


def main() -> None:
    """Withhold, learn, ask, compare."""
    options = arguments()
    os.environ["HF_HUB_OFFLINE"] = "1"
    shop = read_shop(options.data, options.model)
    shop = replace(shop, sequences=some_users(shop.sequences, options.users))
    place = find_place(options.device, options.precision)
    items: list[cold_items.ItemResult] = []
    users: list[cold_users.UserResult] = []

    def keep() -> None:
        write(options.json, [*items, *users], place, data=shop.name)

    for seed in seeds_of(options) if "items" in options.parts else ():
        print(cold_items.header())
        for item in cold_items.each(shop, seed, rivals_of(options, OF_ITEMS), options, place):
            cold_items.show([item])
            items.append(item)
            keep()
    for seed in seeds_of(options) if "users" in options.parts else ():
        print(cold_users.header())
        for found in cold_users.each(shop, seed, rivals_of(options, OF_USERS), options, place):
            cold_users.show(found)
            users += found
            keep()
    print()
    show([*cold_items.rows(items), *cold_users.rows(users)])
    if options.out and users:
        title = f"Users who have just come, {shop.name}"
        path = options.out / "cold_users.png"
        draw(cold_users.curves(users), path, title=title, x="events known of a user", y="NDCG@10")


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", choices=("items", "users"), default=("items", "users"))
    parser.add_argument("--rivals", nargs="*", default=None, choices=RIVALS, help="not the usual ones")
    parser.add_argument(
        "--share", type=float, default=0.1, help="of the items, and of the users, that is withheld"
    )
    parser.add_argument(
        "--most", type=int, default=5000, help="users who are asked for an item that is not new"
    )
    parser.add_argument("--users", type=int, default=None, help="of the data, for a short look")
    parser.add_argument("--out", type=Path, default=None, help="where the picture goes")
    return options_of(parser)


def rivals_of(options: argparse.Namespace, usual: Sequence[str]) -> Sequence[str]:
    """Those that were named, or the usual ones."""
    return usual if options.rivals is None else tuple(options.rivals)


if __name__ == "__main__":
    main()
