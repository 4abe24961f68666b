"""Estimators that weigh what was logged and ask no model.

For whole pages: the reward of slot j may depend on the slots above it, never on those below, so it is weighted by how
much likelier the target is to fill slots 0..j as logged: the product over l <= j of target(l | slots before) over
the logged propensity (reward-interaction IPS: McInerney et al. 2020, arXiv 2007.12986). Slot by slot: the reward is
that of the item in that place, whatever stands above it, so that only the item's own weight counts (independent IPS:
Li et al. 2018, arXiv 1804.10488). On pages of one slot both are the ordinary IPS.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from honeyguide.errors import NoSupport
from honeyguide.evaluate.ope.asking import Answer
from honeyguide.evaluate.ope.estimator import OffPolicy
from honeyguide.evaluate.ope.pages import Pages
from honeyguide.types import Floats


class IPS(OffPolicy):
    """Inverse propensity scoring: the mean over pages of the weighted sum of slot rewards; unbiased unclipped."""

    __slots__ = ()
    linear: ClassVar[bool] = True

    def _weights(self, answer: Answer) -> Floats:
        return np.asarray(np.cumprod(answer.ratio))

    def _value(self, pages: Pages) -> tuple[float, Floats]:
        earned = pages.per_page(pages.weight * pages.reward)
        value = float(earned.mean())
        return value, (earned - value) / pages.n


class SNIPS(OffPolicy):
    """Self-normalised IPS: the weights of each position are divided by their mean; its interval is a delta method.

    Consistent rather than unbiased, and usually narrower; a position's mean stays in the range of its rewards
    (Swaminathan & Joachims 2015).
    """

    __slots__ = ()

    def _weights(self, answer: Answer) -> Floats:
        return np.asarray(np.cumprod(answer.ratio))

    def _value(self, pages: Pages) -> tuple[float, Floats]:
        mean, error = ratio_of(pages, pages.reward)
        value = float((pages.count * mean).sum()) / pages.n
        return value, (pages.per_page(error + mean[pages.slot]) - value) / pages.n


class IIPS(IPS):
    """Independent IPS: slot by slot, whatever stands above; unbiased where slots stand alone."""

    __slots__ = ()
    slotwise: ClassVar[bool] = True

    def _weights(self, answer: Answer) -> Floats:
        return answer.weight


class SNIIPS(SNIPS):
    """Self-normalised independent IPS."""

    __slots__ = ()
    slotwise: ClassVar[bool] = True

    def _weights(self, answer: Answer) -> Floats:
        return answer.weight


def ratio_of(pages: Pages, values: Floats) -> tuple[Floats, Floats]:
    """The weighted mean of (m,) values in each position, and each slot's (m,) part in its error, times pages."""
    mass = pages.per_slot(pages.weight)
    if not (mass > 0).all():
        raise NoSupport(f"no logged page supports the target at position {int(mass.argmin()) + 1}: log more")
    mean = pages.per_slot(pages.weight * values) / mass
    slot = pages.slot
    return mean, (pages.count / mass)[slot] * pages.weight * (values - mean[slot])
