"""The policies that serve: one, or one for each arm of an experiment, which learns from its own users alone.

What one arm's pages teach, another does not know: else a policy that finds out much would be compared with one that
lives on what it found (symbiosis bias: Brennan et al. 2023, arXiv 2309.07107). A user is in one arm, and what they
did before the experiment is learned by that arm, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from honeyguide.config import Explore
from honeyguide.errors import InvalidInput, InvalidSettings
from honeyguide.explore.diverse import Inner
from honeyguide.shop.policies import make_policy
from honeyguide.shop.split import Split
from honeyguide.types import Decision, Floats, Policy, State


class Arms:
    """One policy per arm of a split; all of them together learn as one, so a learner can teach them.

    Beside a policy that holds no belief stands one that does, `beliefs`, for all that is asked about users.
    """

    def __init__(self, split: Split, policies: Sequence[Policy], beliefs: Sequence[Inner]) -> None:
        self.split = split
        self.policies = tuple(policies)
        self.beliefs = tuple(beliefs)

    @classmethod
    def made(
        cls, split: Split, state: State, explore: Explore, *, seed: int, like: tuple[int, int] | None = None
    ) -> Arms:
        """The arms as they are before anything is learned; InvalidSettings where there is no such policy."""
        try:
            policies = [make_policy(name, state, explore, seed=seed, like=like) for name in split.arms]
        except InvalidInput as error:
            setting = "[experiment] arms" if split.name else "[explore] policy"
            raise InvalidSettings(f"{setting}: {error}") from None
        beliefs = [
            policy if _believes(policy) else make_policy("greedy", state, explore, seed=seed)
            for policy in policies
        ]
        return cls(split, policies, beliefs)  # type: ignore[arg-type]

    def policy_of(self, user_id: str) -> Policy:
        """The policy that serves a user."""
        return self.policies[self.split.arm_of(user_id)]

    def belief_of(self, user_id: str) -> Inner:
        """What knows most of a user."""
        return self.beliefs[self.split.arm_of(user_id)]

    def update(self, decision: Decision, rewards: Floats) -> None:
        """Teach the arm of the user."""
        for policy in self._of(decision.user_id):
            policy.update(_seen_by(policy, decision), rewards)

    def retract(self, decision: Decision, rewards: Floats) -> None:
        """Undo an update to the bit."""
        for policy in self._of(decision.user_id):
            policy.retract(_seen_by(policy, decision), rewards)

    def forget(self, user_id: str) -> None:
        """Unlearn a user to the bit, in every arm: each began with all that was fitted."""
        for _, policy in self._named():
            policy.forget(user_id)

    def state(self) -> State:
        """Everything learnt, arm by arm."""
        return {
            f"{name}.{key}": array for name, policy in self._named() for key, array in policy.state().items()
        }

    def from_state(self, state: State) -> Arms:
        """The same arms, whose `state()` this is."""
        again = {
            id(policy): policy.from_state(
                {key.removeprefix(f"{name}."): state[key] for key in state if key.startswith(f"{name}.")}
            )
            for name, policy in self._named()
        }
        policies, beliefs = ([again[id(policy)] for policy in each] for each in (self.policies, self.beliefs))
        return Arms(self.split, policies, beliefs)  # type: ignore[arg-type]

    def _of(self, user_id: str) -> tuple[Policy, ...]:
        arm = self.split.arm_of(user_id)
        policy, belief = self.policies[arm], self.beliefs[arm]
        return (policy,) if policy is belief else (policy, belief)

    def _named(self) -> list[tuple[str, Policy]]:
        named: list[tuple[str, Policy]] = [(f"arm-{at}", policy) for at, policy in enumerate(self.policies)]
        own = set(map(id, self.policies))
        return named + [(f"belief-{at}", one) for at, one in enumerate(self.beliefs) if id(one) not in own]


def _believes(policy: Policy) -> bool:
    return hasattr(policy, "posterior")


def _seen_by(policy: Policy, decision: Decision) -> Decision:
    """The decision itself, or as if the shop had fixed the page where another policy chose it.

    What came of it is learned from; the account of what exploring earned leaves out what a policy did not choose.
    """
    if decision.policy == policy.name:
        return decision
    pins = tuple(enumerate(decision.chosen.tolist()))
    return replace(decision, pins=pins, propensities=np.ones(len(decision.chosen)))
