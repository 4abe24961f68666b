"""What do people take after a day, of all items and of those new to them, where everything before it is known?

    python benchmarks/time_split.py --shop FOLDER [--until 2017-12-04] [--weeks 4] [--rivals als itemknn] [--json OUT]

FOLDER is a fitted shop, which is only read; where there is none, the Complete Journey is imported there as the demo
does. What came before the day, or else before the last --weeks, is learned from; asked is the first item that each
user took since, and the first one that the user had never taken. Beside ours and the rivals of `rank.py` stand
popularity of all time and of the 1, 2 or 4 weeks that did best in the stretch before the day, popularity by the
departments a user shops in, and what a user takes most often. Gaps in rivals' lists show what is popular.
"""

from __future__ import annotations

import argparse

from over_time import Ask, compare, timed_options
from times import Log, Question, next_items


def main() -> None:
    """Read, learn, ask, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    compare(timed_options(parser), (_next(new=False), _next(new=True)))


def _next(*, new: bool) -> Ask:
    def ask(log: Log, since: int, until: int) -> Question:
        return next_items(log, since, until, new=new)

    return ask


if __name__ == "__main__":
    main()
