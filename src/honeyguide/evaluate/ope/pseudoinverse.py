"""The pseudo-inverse estimator of whole pages (Swaminathan et al. 2017, arXiv 1605.04812).

It asks only what a page earned, and assumes that this is a sum over its slots of what the item there is worth. Let s
be the page as a vector of (slot, item) indicators and G the logger's mean of s sᵀ: then the page counts with
qᵀ G⁺ s, where q holds the chances with which the target puts each item into each slot. G needs the logger's chances
of pairs, which a decision does not hold. They are known, and the estimate exact in the mean, for

    one-slot pages              the pmf is all there is: PI is IPS
    uniform pages               drawn evenly without replacement: in closed form, for any size
    rankings with a floor       exploit-only pages among them: by going through all pages, up to a few thousand

Any other page, one drawn from Thompson win-shares or softmax without replacement (Plackett-Luce) among them, is
refused: its first slot's pmf does not say what the others were drawn from.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import permutations
from math import perm
from typing import ClassVar

import numpy as np

from honeyguide.errors import NoSupport
from honeyguide.evaluate.ope.asking import Answer, ask
from honeyguide.evaluate.ope.estimator import OffPolicy
from honeyguide.evaluate.ope.pages import Pages
from honeyguide.evaluate.ope.placing import rank_of, ranked_floor
from honeyguide.types import Decision, Floats, Policy

_MOST_PAGES = 5000
_MOST_PAIRS = 1200  # slots x items: a pseudo-inverse of so many rows takes a second


class PI(OffPolicy):
    """Whole pages weighted by slot and item at once; a page's total is all that it needs."""

    __slots__ = ()
    slotwise: ClassVar[bool] = True

    def ask(self, decision: Decision, target: Policy | None) -> Answer:
        """The target's answer, with the page's weight in place of every slot's."""
        top = self._top(decision)
        answer = ask(top, target, seed=self.seed)
        k = len(top.chosen)
        if target is None or k == 1:
            return answer
        weight = np.full(k, _page_weight(top, answer.placed))
        return Answer(answer.given, answer.placed, answer.ratio, weight, answer.largest)

    def _weights(self, answer: Answer) -> Floats:
        return answer.weight

    def _value(self, pages: Pages) -> tuple[float, Floats]:
        earned = pages.per_page(pages.weight * pages.reward)
        value = float(earned.mean())
        return value, (earned - value) / pages.n


def _page_weight(decision: Decision, placed: Floats) -> float:
    k, n = placed.shape
    floor = ranked_floor(decision)
    if floor is None or decision.pins:
        raise NoSupport(
            f"decision {decision.decision_id!r} is no plain ranking with a floor: its pairs of items have no known "
            "chances: use IPS for pages whose slots change each other, DR or IIPS for those that do not"
        )
    rank = rank_of(decision)
    inverse = _inverse(n, k, floor)
    by_rank = np.empty_like(placed)
    by_rank[:, rank] = placed
    page = np.zeros((k, n))
    page[np.arange(k), rank[decision.chosen]] = 1.0
    return float(by_rank.ravel() @ inverse @ page.ravel())


@lru_cache(maxsize=16)
def _inverse(n: int, k: int, floor: float) -> Floats:
    """(k n, k n): the pseudo-inverse of the chances of pairs, for pages of k among n ranks."""
    if k * n > _MOST_PAIRS or (floor < 1 and perm(n, k) > _MOST_PAGES):
        raise NoSupport(
            f"pages of {k} among {n} candidates are too many to go through: compare fewer slots (slots=2)"
        )
    pairs = _even_pairs(n, k) if floor == 1 else _ranked_pairs(n, k, floor)
    return np.asarray(np.linalg.pinv(pairs, hermitian=True))


def _even_pairs(n: int, k: int) -> Floats:
    same_slot, same_item = np.eye(k), np.eye(n)
    other = np.kron(1 - same_slot, 1 - same_item) / max(n * (n - 1), 1)
    return np.asarray(np.kron(same_slot, same_item) / n + other)


def _ranked_pairs(n: int, k: int, floor: float) -> Floats:
    pairs = np.zeros((k * n, k * n))
    for page in permutations(range(n), k):
        chance = 1.0
        for slot, rank in enumerate(page):
            best = all(better in page[:slot] for better in range(rank))
            chance *= floor / (n - slot) + (1 - floor) * best
        at = np.arange(k) * n + np.array(page)
        pairs[np.ix_(at, at)] += chance
    return pairs
