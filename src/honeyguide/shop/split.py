"""Who is served what: users are shared out among arms by a hash, so that nobody has to remember who is where."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate

from honeyguide.config import Settings
from honeyguide.config.experiment import APPRENTICE
from honeyguide.types import Decision

SHOPS_OWN, LEARNED = "shop", "learned"
"""The arms of apprentice mode."""
_SEPARATOR = "; "


@dataclass(frozen=True, slots=True)
class Split:
    """Arms and their shares of the users, which add up to 1.

    The arm of a user depends on nothing but their id, the name and the shares. Under two names users are shared out
    independently. Where the last arm grows at the cost of the one before it, nobody leaves it.
    """

    name: str
    arms: tuple[str, ...]
    shares: tuple[float, ...]

    def arm_of(self, user_id: str) -> int:
        """The place of the user's arm."""
        place = place_of(self.name, user_id)
        ends = list(accumulate(self.shares))[:-1]  # the last arm has what is left, whatever rounding did
        return sum(place >= end for end in ends)

    def arm_named(self, user_id: str) -> str:
        """The name of the user's arm."""
        return self.arms[self.arm_of(user_id)]

    @property
    def label(self) -> str:
        """Its name, arms and shares: what a decision made under it says."""
        arms = (f"{arm}={share:g}" for arm, share in zip(self.arms, self.shares, strict=True))
        return f"{self.name}: {', '.join(arms)}"


def place_of(name: str, user_id: str) -> float:
    """A number in 0..1, below 1, that is as good as drawn evenly for every name and user."""
    key = blake2b(name.encode("utf-8", "surrogatepass")).digest()
    digest = blake2b(user_id.encode("utf-8", "surrogatepass"), key=key, digest_size=8).digest()
    return float((int.from_bytes(digest, "little") >> 11) / 2**53)


def experiment_split(settings: Settings) -> Split | None:
    """How users are shared out among policies; None where the settings have no experiment."""
    if not settings.experiment.arms:
        return None
    policies, shares = zip(*settings.experiment.shares, strict=True)
    return Split(settings.experiment.name, policies, shares)


def everybody(policy: str) -> Split:
    """All users are served by one policy."""
    return Split("", (policy,), (1.0,))


def apprentice_split(settings: Settings) -> Split:
    """How users are shared out between the shop's own ranking and the learned policy."""
    share = settings.apprentice.share
    return Split(APPRENTICE, (SHOPS_OWN, LEARNED), (1.0 - share, share))


def labelled(policy: str, splits: tuple[Split | None, ...]) -> str:
    """What a decision says of what it was made under: the labels of the splits, the policy's name without any."""
    labels = [split.label for split in splits if split is not None]
    return _SEPARATOR.join(labels) or policy


def made_under(decision: Decision, split: Split) -> bool:
    """Whether a decision was made under just this split."""
    return split.label in decision.policy_version.split(_SEPARATOR)


def all_fixed(decision: Decision) -> bool:
    """Whether the shop fixed every slot of the page: it was ranked by the shop, and no policy chose any of it."""
    return len(decision.pins) == decision.page_size
