"""`POST /v1/decide`: a page, in the journal before it is answered; the same id gives the same page again."""

from __future__ import annotations

from uuid import uuid4

from msgspec.structs import replace

from honeyguide.errors import JournalAway, UnknownDecision
from honeyguide.serve.endpoint import Draft, Endpoint, moment
from honeyguide.serve.problems import CONFLICT, Refusal
from honeyguide.serve.structs import DecideAnswer, DecideRequest, PageItem
from honeyguide.shop.context import Context
from honeyguide.shop.honeyguide import Honeyguide
from honeyguide.types import Decision


def decide(shop: Honeyguide, asked: DecideRequest) -> Draft:
    """The page that stands under this id, or a new one."""
    if asked.decision_id is not None:
        try:
            return Draft(_again(shop, asked, asked.decision_id))
        except (UnknownDecision, JournalAway):
            pass  # what it cannot be asked for is drawn, and told as not recorded
    name = asked.decision_id or uuid4().hex
    decision = shop.draw(
        asked.user_id,
        k=asked.k,
        now=moment(asked.now, shop.clock()),
        surface=asked.surface,
        exclude=asked.exclude,
        rules=None if asked.rules is None else asked.rules.rules(),
        ranking=asked.ranking,
        candidates=asked.candidates,
        context=None if asked.context is None else Context(asked.context.item_id, asked.context.query),
        decision_id=name,
    )
    answer = answer_of(decision)
    return Draft(
        answer,
        (decision,),
        # another process may have used the id meanwhile: its page is then the answer
        otherwise=lambda: _again(shop, asked, name),
        # a visitor is waiting: a page that teaches nothing is better than none
        unrecorded=lambda: replace(answer, recorded=False),
    )


def answer_of(decision: Decision) -> DecideAnswer:
    """A decision as it is answered."""
    scores = decision.plan.scores[decision.chosen].tolist()
    columns = (
        decision.item_ids,
        decision.places.tolist(),
        scores,
        decision.propensities.tolist(),
        decision.explored.tolist(),
        decision.pinned.tolist(),
        decision.why,
    )
    items = [
        PageItem(
            item_id=item_id,
            place=place + 1,
            score=score,
            propensity=propensity,
            explored=explored,
            pinned=pinned,
            why=why,
        )
        for item_id, place, score, propensity, explored, pinned, why in zip(*columns, strict=True)
    ]
    return DecideAnswer(
        decision_id=decision.decision_id,
        user_id=decision.user_id,
        surface=decision.surface,
        time=decision.time,
        items=tuple(items),
        level=decision.plan.level,
        reason=decision.plan.reason,
        policy=decision.policy,
        policy_version=decision.policy_version,
        model_version=decision.model_version,
    )


def _again(shop: Honeyguide, asked: DecideRequest, decision_id: str) -> DecideAnswer:
    stored = shop.journal.decision(decision_id)
    if (stored.user_id, stored.surface) != (asked.user_id, asked.surface):
        raise Refusal(CONFLICT, f"decision_id {decision_id!r} is another request's: use a new id")
    return answer_of(stored)


ENDPOINTS = (
    Endpoint(
        name="decide",
        method="POST",
        path="/v1/decide",
        scope="decide",
        summary="Decide a page for a user.",
        asks=DecideRequest,
        answers=DecideAnswer,
        work=decide,
        key=lambda asked: None if asked.decision_id is None else f"decision {asked.decision_id}",
    ),
)
