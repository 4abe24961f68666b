"""The API of Azure Personalizer (v1.0, single slot): who has to leave it changes the address, and nothing else.

An action is an item of the catalogue, an event a decision of one slot. A reward in 0..1 is read as the reaction whose
reward is nearest to it; 0 is what silence is learned as. What is deferred is written down when it is activated, so
pages that nobody saw teach nothing; it waits in memory, and is gone with the process.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated, Any
from uuid import uuid4

from msgspec import Meta, Struct

from honeyguide.errors import InvalidInput, UnknownDecision
from honeyguide.serve.endpoint import Draft, Endpoint
from honeyguide.serve.problems import CONFLICT, Refusal
from honeyguide.serve.structs import MOST, Id
from honeyguide.shop.honeyguide import Honeyguide
from honeyguide.types import Decision, EventKind

SURFACE = "personalizer"
_USER = ("user_id", "userId", "user", "User", "id", "_id")
_KINDS: tuple[EventKind, ...] = ("view", "click", "cart", "purchase")
_MOST_DEFERRED = 10_000


class RankAction(Struct, frozen=True, rename="camel"):
    """An item that may be shown; what else is said of it is in the catalogue already."""

    id: Id
    features: tuple[Any, ...] = ()


class RankRequest(Struct, frozen=True, rename="camel"):
    """Which of these actions? The user is named by `user_id`, `userId`, `user` or `id` of a context feature."""

    actions: Annotated[tuple[RankAction, ...], Meta(min_length=1, max_length=MOST)]
    context_features: tuple[dict[str, Any], ...] = ()
    excluded_actions: tuple[Id, ...] = ()
    event_id: Id | None = None
    defer_activation: bool = False


class RankedAction(Struct, frozen=True):
    """An action, and the probability with which it would have been the one."""

    id: str
    probability: float


class RankAnswer(Struct, frozen=True, rename="camel"):
    """The action to show, and all of them: it first, then the likelier ones; what was excluded comes last."""

    ranking: tuple[RankedAction, ...]
    event_id: str
    reward_action_id: str


class RewardRequest(Struct, frozen=True, rename="camel"):
    """How good it was, from 0 to 1."""

    event_id: Id
    value: Annotated[float, Meta(ge=0, le=1)]


class ActivateRequest(Struct, frozen=True, rename="camel"):
    """An event that was deferred, and is shown now."""

    event_id: Id


class Personalizer:
    """The endpoints of one service, and what was deferred."""

    def __init__(self, *, most_deferred: int = _MOST_DEFERRED) -> None:
        self._deferred: OrderedDict[str, Decision] = OrderedDict()
        self._most = most_deferred

    def rank(self, shop: Honeyguide, asked: RankRequest) -> Draft:
        """A page of one slot."""
        name = asked.event_id or uuid4().hex
        user = user_of(asked.context_features) or f"visitor of {name}"
        if (stored := self._stored(shop, name)) is not None:
            return Draft(_told(stored, user, asked))
        ids = [action.id for action in asked.actions]
        decision = shop.draw(
            user, k=1, surface=SURFACE, exclude=asked.excluded_actions, candidates=ids, decision_id=name
        )
        if asked.defer_activation:
            self._deferred[name] = decision
            if len(self._deferred) > self._most:
                self._deferred.popitem(last=False)
            return Draft(_told(decision, user, asked))
        return Draft(
            _told(decision, user, asked), (decision,), lambda: _told(shop.journal.decision(name), user, asked)
        )

    def activate(self, shop: Honeyguide, asked: ActivateRequest) -> Draft:
        """Write down what was deferred; what is written down already stays as it is."""
        deferred = self._deferred.pop(asked.event_id, None)
        if deferred is None:
            shop.journal.locate(asked.event_id)  # UnknownDecision
            return Draft(None)
        return Draft(None, (deferred,))

    def reward(self, shop: Honeyguide, asked: RewardRequest) -> Draft:
        """Feedback on the action that was shown."""
        decision = shop.journal.decision(asked.event_id)
        if asked.value == 0:
            return Draft(None)
        grade = shop.settings.labels.grade
        kind = min(_KINDS, key=lambda one: abs(grade(one) - asked.value))
        return Draft(None, (shop.reaction(asked.event_id, decision.item_ids[0], kind),))

    def forget(self, user_id: str) -> None:
        """Drop what was deferred of a user."""
        for name in [name for name, one in self._deferred.items() if one.user_id == user_id]:
            del self._deferred[name]

    def _stored(self, shop: Honeyguide, name: str) -> Decision | None:
        if name in self._deferred:
            return self._deferred[name]
        try:
            return shop.journal.decision(name)
        except UnknownDecision:
            return None

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """What Personalizer's clients ask."""
        root = "/personalizer/v1.0"
        return (
            Endpoint(
                name="rank",
                method="POST",
                path=f"{root}/rank",
                scope="decide",
                summary="Azure Personalizer: which action is shown?",
                asks=RankRequest,
                answers=RankAnswer,
                status=201,
                work=self.rank,
                key=lambda asked: None if asked.event_id is None else f"decision {asked.event_id}",
            ),
            Endpoint(
                name="reward",
                method="POST",
                path=f"{root}/events/{{eventId}}/reward",
                scope="write",
                summary="Azure Personalizer: how good was it?",
                asks=RewardRequest,
                answers=None,
                status=204,
                work=self.reward,
                key=lambda asked: f"reward {asked.event_id}",
            ),
            Endpoint(
                name="activate",
                method="POST",
                path=f"{root}/events/{{eventId}}/activate",
                scope="write",
                summary="Azure Personalizer: a deferred action is shown now.",
                asks=ActivateRequest,
                answers=None,
                status=204,
                work=self.activate,
                key=lambda asked: f"decision {asked.event_id}",
            ),
        )


def user_of(features: tuple[dict[str, Any], ...]) -> str | None:
    """Who asks, as the features of the context say; None where they do not."""
    for feature in features:
        for name in _USER:
            said = feature.get(name)
            if isinstance(said, str | int) and not isinstance(said, bool) and said != "":
                return _checked(str(said))
    return None


def _checked(user: str) -> str:
    if len(user) > 256 or "\0" in user:
        raise InvalidInput(f"a user's id has at most 256 characters, none of them NUL, got {user[:64]!r}...")
    return user


def _told(decision: Decision, user: str, asked: RankRequest) -> RankAnswer:
    if (decision.user_id, decision.surface) != (user, SURFACE):
        raise Refusal(CONFLICT, f"eventId {decision.decision_id!r} is another request's: use a new id")
    chances = dict(zip(decision.candidates.item_ids, decision.pmf.tolist(), strict=True))
    shown = decision.item_ids[0]
    order = sorted(chances, key=lambda name: (name != shown, -chances[name]))
    order += [action.id for action in asked.actions if action.id not in chances]
    ranking = tuple(RankedAction(name, chances.get(name, 0.0)) for name in dict.fromkeys(order))
    return RankAnswer(ranking, decision.decision_id, shown)
