"""What policies that hold a posterior share: exact learning, a floor, a name, and the count of what was seen."""

from __future__ import annotations

import numpy as np

from honeyguide.artifacts import pack_strings, unpack_strings
from honeyguide.errors import InvalidInput
from honeyguide.explore.posterior import UserPosterior
from honeyguide.explore.shares import check_floor
from honeyguide.types import Candidates, Decision, Floats, State


class Believing:
    """Learns by adding what was shown and what it earned to the user's statistics; a subclass is the distribution.

    `settings` are the subclass's own numbers as `from_state` reads them back.
    """

    def __init__(
        self, posterior: UserPosterior, *, floor: float, name: str, settings: tuple[float, ...]
    ) -> None:
        self.posterior = posterior
        self.floor = check_floor(floor)
        self.name = name
        self._settings = settings

    def update(self, decision: Decision, rewards: Floats) -> None:
        """Add what was shown and what it earned to the user's statistics."""
        self.posterior.learn(decision, rewards)

    def retract(self, decision: Decision, rewards: Floats) -> None:
        """Undo an update to the bit."""
        self.posterior.unlearn(decision, rewards)

    def forget(self, user_id: str) -> None:
        """Unlearn a user to the bit."""
        self.posterior.forget(user_id)

    def state(self) -> State:
        """The posterior and the policy's own settings: `policy.settings` begins with the floor."""
        return {
            "policy.settings": np.array([self.floor, *self._settings]),
            "policy.name": np.frombuffer(self.name.encode(), dtype=np.uint8),
            **self.posterior.state(),
        }


class Counting(Believing):
    """Also counts each user's observations: a sum like the others, so it is as exact."""

    def __init__(
        self, posterior: UserPosterior, *, floor: float, name: str, settings: tuple[float, ...]
    ) -> None:
        super().__init__(posterior, floor=floor, name=name, settings=settings)
        self._counts: dict[str, int] = {}

    def seen(self, user_id: str) -> int:
        """How many rewards of this user were learned from, and not taken back."""
        return self._counts.get(user_id, 0)

    def update(self, decision: Decision, rewards: Floats) -> None:
        """Add what was shown and what it earned, and count it."""
        super().update(decision, rewards)
        self._count(decision.user_id, len(rewards))

    def retract(self, decision: Decision, rewards: Floats) -> None:
        """Undo an update to the bit."""
        super().retract(decision, rewards)
        self._count(decision.user_id, -len(rewards))

    def forget(self, user_id: str) -> None:
        """Unlearn a user to the bit."""
        super().forget(user_id)
        self._counts.pop(user_id, None)

    def state(self) -> State:
        """The posterior, the settings, and `counts` (u,) of `counts.names`."""
        users = sorted(self._counts)
        names, offsets = pack_strings(users)
        counts = np.array([self._counts[user] for user in users], dtype=np.int64)
        return {**super().state(), "counts": counts, "counts.names": names, "counts.offsets": offsets}

    def recall(self, state: State) -> None:
        """Take over the counts of a state."""
        names = unpack_strings(state["counts.names"], state["counts.offsets"])
        self._counts = {name: int(count) for name, count in zip(names, state["counts"], strict=True)}

    def _count(self, user_id: str, by: int) -> None:
        self._counts[user_id] = self._counts.get(user_id, 0) + by
        if not self._counts[user_id]:
            del self._counts[user_id]


def settings_of(state: State) -> tuple[list[float], str]:
    """(floor and the subclass's settings, name) of a state."""
    return state["policy.settings"].tolist(), state["policy.name"].tobytes().decode()


def expected_rewards(posterior: UserPosterior, candidates: Candidates) -> Floats:
    """(n,): the expected reward of each candidate under the user's posterior mean, less its penalty."""
    return less_penalty(posterior.about(candidates).mean, candidates)


def less_penalty(scores: Floats, candidates: Candidates) -> Floats:
    """(..., n): scores without what is to be taken off them."""
    return scores if candidates.penalty is None else scores - candidates.penalty


def check_number(name: str, value: float, *, above: bool = False) -> float:
    """`value` itself; InvalidInput unless it is finite and 0 or more, or `above` 0."""
    if not (np.isfinite(value) and (value > 0 or (value == 0 and not above))):
        raise InvalidInput(f"{name} must be finite and {'above 0' if above else '0 or more'}, got {value}")
    return float(value)
