"""Which items of a household's next basket are new to it? Ranked among all items that it never took.

    python benchmarks/next_basket.py --shop FOLDER [--until 2017-11-01] [--first-only] [--rivals als itemknn]

FOLDER is a fitted shop, which is only read; where there is none, the Complete Journey is imported there as the demo
does. What came before the day, or else before the last --weeks, is learned from; of each household's first basket
since, those items are wanted that it had never taken, and households without any are left out. Recall@10 is the share
of the wanted items among ten, NDCG@10 stands beside the best possible ranking's. `--first-only` learns, rivals as
well, from what each household took for the first time. Popularity is how many households took an item, of all time,
in the weeks that did best in the stretch before, and within departments weighted by the household's share of each.
"""

from __future__ import annotations

import argparse

from over_time import compare, timed_options
from times import next_baskets


def main() -> None:
    """Read, learn, ask, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--first-only", action="store_true", help="learn from what was new to its household")
    options = timed_options(parser)
    compare(options, (next_baskets,), first_only=options.first_only)


if __name__ == "__main__":
    main()
