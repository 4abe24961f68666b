"""The log that estimators sum over: checked, in one fixed order, one entry per slot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from honeyguide.errors import InvalidInput, NoSupport
from honeyguide.types import Decision, Floats, Rows


@dataclass(frozen=True, slots=True, eq=False)
class Pages:
    """A weighted log: `page`, `slot`, `reward`, `weight`, `expected`, `shown` are (m,), one entry per slot.

    `user` is (n,), one per page. `expected` is what a reward model expects of the target in this slot, `shown` what
    it expects of the item that was shown; both 0 where no model is asked.
    """

    user: Rows
    page: Rows
    slot: Rows
    reward: Floats
    weight: Floats
    expected: Floats
    shown: Floats

    @property
    def n(self) -> int:
        """How many pages there are."""
        return len(self.user)

    @property
    def count(self) -> Floats:
        """(longest page,): how many pages have each position."""
        return self.per_slot(np.ones(len(self.page)))

    def per_page(self, values: Floats) -> Floats:
        """(n,): (m,) values of slots added up over their page."""
        return np.bincount(self.page, weights=values, minlength=self.n).astype(np.float64)

    def per_slot(self, values: Floats) -> Floats:
        """(longest page,): (m,) values added up over all pages, position by position."""
        return np.bincount(self.slot, weights=values).astype(np.float64)

    def per_user(self, values: Floats) -> Floats:
        """(users,): (n,) values of pages added up over their user."""
        return np.bincount(self.user, weights=values).astype(np.float64)

    def of_users(self, users: Rows) -> Pages:
        """The pages of these users, as often as each is named."""
        size = np.bincount(self.user)
        by_user = np.argsort(self.user, kind="stable")
        pages = by_user[_runs(_starts(size)[users], size[users])]
        length = np.bincount(self.page, minlength=self.n)
        slots = _runs(_starts(length)[pages], length[pages])  # slots of a page stand together
        return Pages(
            user=np.repeat(np.arange(len(users)), size[users]),
            page=np.repeat(np.arange(len(pages)), length[pages]),
            slot=self.slot[slots],
            reward=self.reward[slots],
            weight=self.weight[slots],
            expected=self.expected[slots],
            shown=self.shown[slots],
        )


def _starts(lengths: Rows) -> Rows:
    return np.concatenate([[0], np.cumsum(lengths)[:-1]])


def _runs(starts: Rows, lengths: Rows) -> Rows:
    """The numbers from each start on, as many as its length."""
    return np.arange(lengths.sum()) + np.repeat(starts - _starts(lengths), lengths)


def pages_of(log: Sequence[Decision], rewards: Sequence[Floats], weights: Sequence[Floats]) -> Pages:
    """The log with a weight per slot; no model has been asked."""
    lengths = [len(weight) for weight in weights]
    nothing = np.zeros(sum(lengths))
    return Pages(
        user=codes(log),
        page=np.repeat(np.arange(len(log)), lengths),
        slot=np.concatenate([np.arange(length) for length in lengths]),
        reward=np.concatenate(rewards).astype(np.float64),
        weight=np.concatenate(weights),
        expected=nothing,
        shown=nothing,
    )


def codes(log: Sequence[Decision]) -> Rows:
    """(n,): a number for each page's user, in the order of their ids."""
    users = {user: code for code, user in enumerate(sorted({decision.user_id for decision in log}))}
    return np.array([users[decision.user_id] for decision in log], dtype=np.int64)


def check_log(decisions: Sequence[Decision], rewards: Sequence[Floats]) -> None:
    """InvalidInput unless these are whole pages with their rewards, each once; NoSupport where there are none."""
    if not decisions:
        raise NoSupport("there are no logged decisions: serve some first")
    if len(decisions) != len(rewards):
        raise InvalidInput(
            f"there must be one rewards array per decision, got {len(rewards)}, {len(decisions)}"
        )
    seen: set[str] = set()
    for decision, earned in zip(decisions, rewards, strict=True):
        name, k = decision.decision_id, len(decision.chosen)
        if name in seen:
            raise InvalidInput(f"decision {name!r} is in the log twice: each counts once")
        if k != decision.page_size:
            raise InvalidInput(
                f"decision {name!r} holds {k} of {decision.page_size} slots: only whole pages can be weighted"
            )
        if earned.shape != (k,) or not np.isfinite(earned).all():
            raise InvalidInput(
                f"rewards of decision {name!r} must be ({k},) and finite, got {earned.tolist()}"
            )
        seen.add(name)


def kish(weights: Floats) -> float:
    """Kish's effective sample size of (n,) weights: how many equal ones would tell as much; 0 where all are 0.

    >>> kish(np.array([1.0, 1.0, 1.0])), kish(np.array([1.0, 0.0, 0.0]))
    (3.0, 1.0)
    """
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0
