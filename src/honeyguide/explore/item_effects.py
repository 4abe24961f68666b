"""How much better or worse each item does than the base rate says: learned from everybody's reactions to it.

An effect is in logits, drawn from N(m, v). Rewards that tell the information I of it in all, with the score S (what
was earned less what was due), leave the precision 1/v + I/noise and the mean (m/v + S/noise) over it: of what is
rare, observed over expected, shrunk (Clayton & Kaldor 1987). Both sums are kept in fixed point, per item and by
whom they are, so that they do not depend on order and people are unlearned to the bit.

Who takes one item again and again and hardly anything else says nothing of what others want, or means to say too
much of that item. So a user is set aside while one item makes up more than half of what they took and was taken more
than once. That is read off the same sums, so it depends on no order either, and ends when they take other things.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from honeyguide.artifacts import pack_strings, unpack_strings
from honeyguide.errors import InvalidInput
from honeyguide.explore.base_rate import LEAST, MOST, MOST_ROWS, logistic, some_users
from honeyguide.explore.posterior import STEP
from honeyguide.types import Floats, Rows, State, Vectors

_VARIANCES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.8, 1.2, 2.0)
_MEANS = (-0.5, -0.25, 0.0, 0.25, 0.5, 0.8, 1.2, 2.0)
_SURELY = 2.0  # nats that a greater variance must be likelier by: two standard errors
_FOLDS = 5
_MORE_THAN_ONCE = 1.5  # in rewards


@dataclass(slots=True)
class _Taken:
    """How much a user took in all, and of the item they took most, in steps of STEP."""

    total: int = 0
    most: int = 0
    item: str = ""

    def change(self, item: str, before: int, after: int, sums: dict[str, NDArray[np.int64]]) -> None:
        """Now `after` of an item was taken instead of `before`, as the user's `sums` have it."""
        self.total += after - before
        if after >= self.most:
            self.most, self.item = after, item
        elif item == self.item:  # another may be ahead now
            self.most, self.item = max(((_taken(part), name) for name, part in sums.items()), default=(0, ""))

    @property
    def one_sided(self) -> bool:
        """Whether one item was taken more than once and more than all others together."""
        return self.most > _MORE_THAN_ONCE / STEP and 2 * self.most > self.total


@dataclass(frozen=True, slots=True)
class ItemPrior:
    """What is believed of an item's effect before it was shown: of known items, and of fresh ones nobody took yet."""

    variance: float
    fresh_mean: float = 0.0
    fresh_variance: float = 1.0

    def __post_init__(self) -> None:
        if not (self.variance > 0 and self.fresh_variance > 0 and np.isfinite(self.fresh_mean)):
            raise InvalidInput(f"variances must be above 0 and the mean finite, got {self}")


class ItemEffects:
    """Information and score of every item, exact, and what follows for its effect."""

    def __init__(self, prior: ItemPrior, noise: float) -> None:
        self.prior = prior
        self.noise = noise
        self._row: dict[str, int] = {}  # item -> its row below; row 0 is that of items nobody was shown
        self._sums = np.zeros((1, 2), dtype=np.int64)  # information, score
        self._reach = np.zeros(1, dtype=np.int64)
        self._users: dict[str, dict[str, NDArray[np.int64]]] = {}
        self._taken: dict[str, _Taken] = {}
        self._aside: set[str] = set()

    def aside(self, user_id: str) -> bool:
        """Whether this user takes one item again and again, so that they say nothing of everybody."""
        return user_id in self._aside

    def rows(self, item_ids: Sequence[str]) -> Rows:
        """(n,): where the items stand here; those that nobody was shown stand in one place."""
        return np.fromiter(map(self._row.get, item_ids, repeat(0)), dtype=np.int64, count=len(item_ids))

    def of(self, rows: Rows, fresh: NDArray[np.bool_] | None) -> tuple[Floats, Floats]:
        """(n,) means and (n,) variances of the effects of the items at `rows`, in logits."""
        sums = self._sums[rows] * (STEP / self.noise)
        mean, variance = np.zeros(len(sums)), np.full(len(sums), self.prior.variance)
        if fresh is not None:
            mean[fresh], variance[fresh] = self.prior.fresh_mean, self.prior.fresh_variance
        left = 1 / (1 / variance + sums[:, 0])
        return left * (mean / variance + sums[:, 1]), left

    def liked(self, item_ids: Sequence[str]) -> Rows:
        """(m,): places of the items that earned more than was due when they were shown, the most liked first."""
        score = (
            self.of(self.rows(item_ids), np.ones(len(item_ids), dtype=np.bool_))[0] - self.prior.fresh_mean
        )
        risen = np.flatnonzero(score > 0)
        return risen[np.argsort(-score[risen], kind="stable")]

    def reach(self, rows: Rows) -> Floats:
        """(n,): how many users were shown each of the items at `rows`."""
        return self._reach[rows].astype(np.float64)

    def add(
        self, user_id: str, item_ids: Sequence[str], information: Floats, scores: Floats, *, sign: int = 1
    ) -> None:
        """Count what a user's reactions to (k,) shown items tell of them; `sign` -1 takes it back."""
        parts = sign * np.rint(np.stack([information, scores], axis=1) / STEP).astype(np.int64)
        for item, part in zip(item_ids, parts, strict=True):
            self._add(user_id, item, part)
        self._judge(user_id)

    def forget(self, user_id: str) -> None:
        """Take back all that a user added."""
        for item, part in self._users.get(user_id, {}).copy().items():
            self._add(user_id, item, -part)
        self._judge(user_id)

    def state(self) -> State:
        """The prior (3,), and `effects.sums` (m, 2) int64 of m pairs of `effects.users` and `effects.items`."""
        pairs = [(user, item) for user in sorted(self._users) for item in sorted(self._users[user])]
        users, user_offsets = pack_strings([user for user, _ in pairs])
        items, item_offsets = pack_strings([item for _, item in pairs])
        sums = [self._users[user][item] for user, item in pairs]
        prior = self.prior
        return {
            "effects.prior": np.array([prior.variance, prior.fresh_mean, prior.fresh_variance]),
            "effects.users": users,
            "effects.user_offsets": user_offsets,
            "effects.items": items,
            "effects.item_offsets": item_offsets,
            "effects.sums": np.stack(sums) if sums else np.zeros((0, 2), dtype=np.int64),
        }

    @classmethod
    def from_state(cls, state: State, noise: float) -> ItemEffects:
        """The effects whose `state()` this is."""
        found = cls(ItemPrior(*(float(value) for value in state["effects.prior"])), noise)
        users = unpack_strings(state["effects.users"], state["effects.user_offsets"])
        items = unpack_strings(state["effects.items"], state["effects.item_offsets"])
        for user, item, part in zip(users, items, state["effects.sums"], strict=True):
            found._add(user, item, part)
        for user in sorted(set(users)):
            found._judge(user)
        return found

    def _add(self, user_id: str, item: str, part: NDArray[np.int64]) -> None:
        mine = self._users.setdefault(user_id, {})
        before = mine.get(item)
        _add(mine, item, part)
        after = mine.get(item)
        self._taken.setdefault(user_id, _Taken()).change(item, _taken(before), _taken(after), mine)
        if user_id not in self._aside:
            self._count(item, part, (after is not None) - (before is not None))
        if not mine:
            del self._users[user_id], self._taken[user_id]

    def _count(self, item: str, part: NDArray[np.int64], users: int) -> None:
        row = self._row_of(item)
        self._sums[row] += part
        self._reach[row] += users

    def _judge(self, user_id: str) -> None:
        """Set a user aside, or let them count again, as their sums have it."""
        aside = user_id in self._taken and self._taken[user_id].one_sided
        if aside == (user_id in self._aside):
            return
        sign = -1 if aside else 1
        for item, part in self._users.get(user_id, {}).items():
            self._count(item, sign * part, sign)
        (self._aside.add if aside else self._aside.discard)(user_id)

    def _row_of(self, item: str) -> int:
        row = self._row.setdefault(item, len(self._row) + 1)
        if row == len(self._sums):  # twice as many, so that adding stays cheap
            self._sums = np.concatenate([self._sums, np.zeros_like(self._sums)])
            self._reach = np.concatenate([self._reach, np.zeros_like(self._reach)])
        return row


def learn_item_prior(
    features: Vectors,
    rewards: Floats,
    starts: Rows,
    items: Rows,
    fresh: NDArray[np.bool_] | None,
    looked: Floats,
    *,
    ridge: float,
    seed: int,
) -> ItemPrior:
    """How much items differ by what their features do not tell, from rows (r,) whose items are `items` (r,).

    What is expected of an item's rows is learned without them, else the features would tell the item itself. Rewards
    of an item are negative binomial then: Poisson, its rate Gamma around what is expected. Of the variances that the
    rows speak for, the least is taken, as imagined differences mislead more than missed ones. `fresh` (r,) marks
    rows of items nobody had taken; without them, or with too few, they keep a wide prior. `looked` (r,) are the
    chances that the rows were looked at.
    """
    rng = np.random.default_rng(seed)
    rows = some_users(starts, MOST_ROWS, rng).rows
    names, at = np.unique(items[rows], return_inverse=True)
    fold = rng.integers(_FOLDS, size=len(names))[at]
    expected = np.zeros(len(rows))
    for part in range(_FOLDS):
        out = fold == part
        base = logistic(features[rows][~out], rewards[rows][~out], ridge, looked[rows][~out])
        expected[out] = base.expected(features[rows][out]) * looked[rows][out]
    due, earned = (np.bincount(at, each).astype(np.float64) for each in (expected, rewards[rows]))
    new = np.zeros(len(names), dtype=np.bool_)
    if fresh is not None:
        new[at] = fresh[rows]
    _, variance = _likeliest(due[~new], earned[~new], (0.0,))
    if due[new].sum() < 1:  # not a single reward would be expected: nothing can be said
        return ItemPrior(variance)
    mean, fresh_variance = _likeliest(due[new], earned[new], _MEANS)
    return ItemPrior(variance, mean, max(fresh_variance, variance))


def _likeliest(expected: Floats, earned: Floats, means: Sequence[float]) -> tuple[float, float]:
    """(mean, variance) of effects under which what items earned is likely: the least variance that is."""
    found = [
        (_likelihood(expected, earned, mean, variance), variance, mean)
        for variance in _VARIANCES
        for mean in means
    ]
    likely = max(found)[0] - _SURELY
    least = min(variance for value, variance, _ in found if value >= likely)
    _, variance, mean = max(each for each in found if each[1] == least)
    return mean, variance * (1 + mean) ** 2


def _likelihood(expected: Floats, earned: Floats, mean: float, variance: float) -> float:
    """The log likelihood of rewards (n,) that are negative binomial around (1 + mean) times what is expected."""
    shape, rate = 1 / variance, np.maximum(expected, LEAST / MOST) * (1 + mean)
    value = gammaln(earned + shape) - gammaln(shape) + shape * np.log(shape / (shape + rate))
    return float((value + earned * np.log(rate / (shape + rate))).sum())


def _taken(part: NDArray[np.int64] | None) -> int:
    """What was taken of an item: its information and score together."""
    return 0 if part is None else max(int(part[0] + part[1]), 0)


def _add(sums: dict[str, NDArray[np.int64]], key: str, part: NDArray[np.int64]) -> None:
    """Add to an entry; one that is nothing leaves no trace."""
    old = sums.get(key)
    new = part if old is None else old + part
    if new.any():
        sums[key] = new
    else:
        sums.pop(key, None)
