"""Settings of who is served what: experiments among policies, and the shop's own ranking beside the learned one."""

from __future__ import annotations

from dataclasses import dataclass

from honeyguide.config.bounds import positive, within
from honeyguide.errors import InvalidSettings

APPRENTICE = "apprentice"
"""The name by which users are shared out between the shop's own ranking and the learned policy."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """Policies that are compared on the shop's own users; without arms everybody is served by the controller."""

    name: str = ""
    """What users are shared out by; another name shares them out anew, whatever other experiments did."""
    arms: tuple[str, ...] = ()
    """Policies and their shares of the users, such as ["tradeoff=0.8", "greedy=0.2"]; the first is compared to."""
    days: float = 14.0
    """A user is judged by the pages of so many days, from the first page within the experiment on."""
    most: float = 10.0
    """A user's reward counts up to this: no single user says more, and so less of them are needed."""

    def __post_init__(self) -> None:
        positive(self, "days")
        positive(self, "most")
        shares = self.shares
        if not shares:
            return
        _check_name(self.name)
        policies = [policy for policy, _ in shares]
        if len(policies) == 1:
            raise InvalidSettings(
                f"arms needs two policies at least, got {self.arms[0]!r} alone: name the one to compare it to, "
                "or leave arms empty for no experiment"
            )
        if len(set(policies)) < len(policies):
            raise InvalidSettings(f"arms must name each policy once, got {', '.join(policies)}")
        total = sum(share for _, share in shares)
        if abs(total - 1) > 1e-9:
            raise InvalidSettings(
                f"the shares of arms must add up to 1, got {total:g}: add {1 - total:+g} to one of them"
            )

    @property
    def shares(self) -> tuple[tuple[str, float], ...]:
        """(policy, its share of the users)."""
        return tuple(map(_arm, self.arms))


@dataclass(frozen=True, slots=True)
class Apprentice:
    """How far the learned policy takes over where a page comes with the shop's own ranking."""

    share: float = 0.0
    """The share of the users who get the learned page; the others get the shop's ranking, which is learned from."""

    def __post_init__(self) -> None:
        within(self, "share", 0, 1)


def _check_name(name: str) -> None:
    if not name:
        raise InvalidSettings(
            'an experiment needs a name, such as name = "exploring": users are shared out by it'
        )
    if name == APPRENTICE or ";" in name or not name.isprintable():
        raise InvalidSettings(
            f"an experiment cannot be named {name!r}: take plain words without ';' other than {APPRENTICE!r}"
        )


def _arm(text: str) -> tuple[str, float]:
    policy, _, said = text.rpartition("=")
    try:
        share = float(said)
    except ValueError:
        share = float("nan")
    if not policy.strip() or not 0 < share <= 1:
        raise InvalidSettings(
            f"{text!r} is no arm: write a policy and its share of the users, like greedy=0.2"
        )
    return policy.strip(), share
