"""How often does an experiment that is watched call a difference that is not there, and how soon one that is?

python benchmarks/experiments.py [--seeds N] [--json OUT]

1,000 users come one after the other, the keenest first, and are shared out among two arms; each says what they
earned, a count up to 10. The experiment is looked at after 125, 250, 500 and 1,000 users. "called" is the share of
experiments in which some look said that the arms differ: where they are alike these are false alarms, nominally 5 %,
and where the second arm earns half as much again it is the power. "width" is that of the last look's interval:

ours                   what each user says of the difference, beside what is usual of users like them
beside the mean        the same beside the mean of those who came before
two sequences          a confidence sequence for each arm, and the pairs of means that both leave
t-test at each look    Welch's, as if each look were the only one
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import ttest_ind

from honeyguide.evaluate.confidence import Interval, Sequence, difference
from honeyguide.evaluate.experiment import differences
from honeyguide.types import Floats
from rows import Row, arguments, report

LOOKS = (125, 250, 500, 1000)
MOST = 10.0

Look = Callable[[Floats, Floats, float, Floats], Interval]
"""(rewards (n,), 1 for a user of the second arm (n,), its share, what was known before (n,)) -> the difference."""


def users(seed: int, lift: float, share: float) -> tuple[Floats, Floats, Floats]:
    """(rewards, second, known), each (n,): how keen somebody is shows in what is known of them, but not all of it."""
    rng = np.random.default_rng(seed)
    n = LOOKS[-1]
    known = 3 * np.exp(-2 * np.arange(n) / n) * rng.gamma(4.0, 0.25, n)
    second = (rng.random(n) < share).astype(np.float64)
    rewards = rng.poisson(known * rng.gamma(2.0, 0.5, n) * (1 + lift * second))
    return np.minimum(rewards, MOST).astype(np.float64), second, np.log1p(known)


def ours(rewards: Floats, second: Floats, share: float, known: Floats) -> Interval:
    """As `honeyguide experiment` does."""
    widest = MOST / min(share, 1 - share)
    sequence = Sequence(low=-widest, high=widest)
    sequence.add(differences(rewards, second, share, known))
    return sequence.interval()


def beside_the_mean(rewards: Floats, second: Floats, share: float, known: Floats) -> Interval:
    """The same where nothing is known of anybody."""
    return ours(rewards, second, share, np.zeros(len(known)))


def two_sequences(rewards: Floats, second: Floats, share: float, known: Floats) -> Interval:
    """Rewards of either arm as a stream of their own."""
    one, other = Sequence(high=MOST), Sequence(high=MOST)
    one.add(rewards[second == 1])
    other.add(rewards[second == 0])
    return difference(one, other)


def t_test(rewards: Floats, second: Floats, share: float, known: Floats) -> Interval:
    """An interval for one look."""
    found = ttest_ind(rewards[second == 1], rewards[second == 0], equal_var=False).confidence_interval()
    return Interval(float(found.low), float(found.high))


RIVALS: dict[str, Look] = {
    "beside the mean": beside_the_mean,
    "two sequences": two_sequences,
    "t-test at each look": t_test,
}


def watched(look: Look, seed: int, lift: float, share: float) -> tuple[float, float]:
    """(1 where any look called a difference, the width at the last)."""
    rewards, second, known = users(seed, lift, share)
    found = [look(rewards[:n], second[:n], share, known[:n]) for n in LOOKS]
    return float(any(0 not in one for one in found)), found[-1].width


def main() -> None:
    """Print the table."""
    options = arguments(__doc__, seeds=100)
    rows = []
    for lift, share in ((0.0, 0.5), (0.0, 0.2), (0.5, 0.5), (0.5, 0.2)):
        name = f"{'alike' if not lift else 'half more'}, share {share:g}"
        mine = np.array([watched(ours, seed, lift, share) for seed in range(options.seeds)])
        for rival, look in RIVALS.items():
            theirs = np.array([watched(look, seed, lift, share) for seed in range(options.seeds)])
            for at, metric in enumerate(("called", "width")):
                low, high = np.quantile(mine[:, at], [0.1, 0.9])
                value, other = float(mine[:, at].mean()), float(theirs[:, at].mean())
                ratio = value / other if other else float("nan")
                spread = float(low), float(high)
                rows.append(Row(name, metric, value, spread, rival, other, ratio, None, None, options.seeds))
    report(rows, options)


if __name__ == "__main__":
    main()
