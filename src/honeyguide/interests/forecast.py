"""Which interest comes next, among those a user knows and those never touched, with chances that can be believed.

What speaks for an interest: the sequence model (the chances of its items), where others went from the user's last
event and from the last few, how much of the user's past lies in it, and whether they touched it at all. A conditional
logit (McFadden 1974) weighs them; fitted on events held out, it makes the chances calibrated, which sums of a model's
own chances are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from honeyguide.errors import InvalidInput
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.sequence.model import SequenceModel
from honeyguide.interests.sequence.ranking import parts_of
from honeyguide.interests.transitions import Transitions
from honeyguide.types import Floats, Rows, State

SIGNS = ("next items", "from the last", "from the last few", "share so far", "known")
_KNOWN = SIGNS.index("known")
_RARE = 1e-6
_RIDGE = 1e-3
_BINS = 15


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Chances of the next interest: `weights` (5,) of SIGNS, over interests `leaf` (n,) of the items."""

    weights: Floats
    transitions: Transitions
    leaf: Rows

    def chances(self, model: SequenceModel, sequences: Sequences) -> Floats:
        """(u, leaves): rows sum to 1."""
        found = np.zeros((len(sequences), len(self.transitions)))
        for users in parts_of(sequences, model.items):
            signs = signs_of(model, self.transitions, self.leaf, sequences.of_users(users))
            found[users] = _chances(signs, self.weights)
        return found

    def state(self) -> State:
        """The forecast as named arrays."""
        return {**self.transitions.state(), "forecast.weights": self.weights, "forecast.leaf": self.leaf}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The forecast whose `state()` this is."""
        return cls(state["forecast.weights"], Transitions.from_state(state), state["forecast.leaf"])


@dataclass(frozen=True, slots=True)
class ForecastQuality:
    """How good forecasts were on events that neither the model nor the weights were learned from.

    `ece` is the expected calibration error of the likeliest interest (Guo et al. 2017), `new_ece` that of the chance
    to go to an interest never touched; `top_1` and `top_3` how often the interest was among the first; `new_top_3` of
    those who went to a new interest, how often it was among the first three new ones; `log_loss` in nats, beside that
    of saying what is usual in the shop, `usual_log_loss`, and `usual_top_3` and `usual_new_top_3` likewise.
    """

    users: int
    new_users: int
    ece: float
    new_ece: float
    top_1: float
    top_3: float
    new_top_3: float | None
    log_loss: float
    usual_log_loss: float
    usual_top_3: float
    usual_new_top_3: float | None


def learn_forecast(
    model: SequenceModel,
    transitions: Transitions,
    leaf: Rows,
    sequences: Sequences,
    targets: Rows,
    *,
    seed: int = 0,
) -> tuple[Forecast, ForecastQuality | None]:
    """Weights from users held out and the items `targets` (u,) that they took next; the quality on half of them.

    Weights are fitted on one half and judged on the other, then fitted on all. No quality below 20 users.
    """
    if len(sequences) != len(targets) or not len(targets):
        raise InvalidInput("a forecast is learned from at least one user with a target: import more events")
    signs = np.concatenate(
        [
            signs_of(
                model, transitions, leaf, sequences.of_users(np.arange(first, min(first + 500, len(targets))))
            )
            for first in range(0, len(targets), 500)
        ]
    )
    wanted = leaf[targets]
    order = np.random.default_rng(seed).permutation(len(targets))
    half = len(order) // 2
    quality = None
    if half >= 10:
        tried = _fit(signs[order[:half]], wanted[order[:half]])
        rest = order[half:]
        known = signs[rest, :, _KNOWN] > 0
        quality = forecast_quality(_chances(signs[rest], tried), known, transitions.base, wanted[rest])
    return Forecast(_fit(signs, wanted), transitions, leaf), quality


def signs_of(model: SequenceModel, transitions: Transitions, leaf: Rows, sequences: Sequences) -> Floats:
    """(u, leaves, 5): what speaks for each interest, of users few enough to hold the scores of all items."""
    leaves = len(transitions)
    member = np.zeros((len(leaf), leaves), dtype=np.float32)
    member[np.arange(len(leaf)), leaf] = 1.0
    likely = np.asarray(model.score(sequences) @ member, dtype=np.float64)
    found = np.zeros((len(sequences), leaves, len(SIGNS)))
    found[:, :, 0] = np.log(np.maximum(likely, _RARE))
    for user in range(len(sequences)):
        tokens = sequences.tokens[sequences.starts[user] : sequences.starts[user + 1]]
        own = leaf[tokens[tokens < len(leaf)]]
        share = np.bincount(own, minlength=leaves)
        found[user, :, 1] = np.log(np.maximum(transitions.after(own[-1:]), _RARE))
        found[user, :, 2] = np.log(np.maximum(transitions.after(own), _RARE))
        found[user, :, 3] = np.log1p(share) / np.log1p(max(len(own), 1))
        found[user, :, _KNOWN] = share > 0
    return found


def forecast_quality(
    chances: Floats, known: NDArray[np.bool_], base: Floats, wanted: Rows
) -> ForecastQuality:
    """The quality of `chances` (u, leaves) for users who went to `wanted` (u,) and had `known` (u, leaves) before."""
    at = np.arange(len(wanted))
    new = ~known[at, wanted]
    usual = np.broadcast_to(base, chances.shape)
    to_new = np.where(known, 0.0, chances).sum(axis=1)
    return ForecastQuality(
        users=len(wanted),
        new_users=int(new.sum()),
        ece=calibration_error(chances.max(axis=1), chances.argmax(axis=1) == wanted),
        new_ece=calibration_error(to_new, new),
        top_1=float((_places(chances, wanted) < 1).mean()),
        top_3=float((_places(chances, wanted) < 3).mean()),
        new_top_3=_new_top_3(chances, known, wanted, new),
        log_loss=float(-np.log(np.maximum(chances[at, wanted], _RARE)).mean()),
        usual_log_loss=float(-np.log(base[wanted]).mean()),
        usual_top_3=float((_places(usual, wanted) < 3).mean()),
        usual_new_top_3=_new_top_3(usual, known, wanted, new),
    )


def calibration_error(chances: Floats, came: NDArray[np.bool_]) -> float:
    """The mean distance, over users, of the chance given and how often it came true among chances alike.

    >>> calibration_error(np.array([0.5, 0.5, 0.5, 0.5]), np.array([True, True, True, False]))
    0.25
    """
    bins = np.minimum((chances * _BINS).astype(np.int64), _BINS - 1)
    given, true = (np.bincount(bins, weights=w, minlength=_BINS) for w in (chances, came.astype(np.float64)))
    return float(np.abs(given - true).sum() / max(len(chances), 1))


def _new_top_3(
    chances: Floats,
    known: NDArray[np.bool_],
    wanted: Rows,
    new: NDArray[np.bool_],
) -> float | None:
    if not new.any():
        return None
    among_new = np.where(known, -1.0, chances)[new]
    return float((_places(among_new, wanted[new]) < 3).mean())


def _places(chances: Floats, wanted: Rows) -> Rows:
    own = chances[np.arange(len(wanted)), wanted]
    return np.asarray((chances > own[:, None]).sum(axis=1))


def _chances(signs: Floats, weights: Floats) -> Floats:
    scores = signs @ weights
    scores -= scores.max(axis=1, keepdims=True)
    found = np.exp(scores)
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def _fit(signs: Floats, wanted: Rows) -> Floats:
    """The likeliest weights, with a little pull to trusting the sequence model alone."""
    start = np.eye(len(SIGNS))[0]
    own = signs[np.arange(len(wanted)), wanted]

    def loss(weights: Floats) -> tuple[float, Floats]:
        chances = _chances(signs, weights)
        at = np.maximum(chances[np.arange(len(wanted)), wanted], 1e-300)
        slope = np.einsum("ul,uls->us", chances, signs) - own
        pull = weights - start
        return float(-np.log(at).mean() + _RIDGE * pull @ pull), slope.mean(axis=0) + 2 * _RIDGE * pull

    found = minimize(loss, start, jac=True, method="L-BFGS-B")
    return np.asarray(found.x, dtype=np.float64)
