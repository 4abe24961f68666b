"""What is known and found, and the erasure of a user: endpoints that write no entry."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from honeyguide.serve.endpoint import Draft, Endpoint
from honeyguide.serve.structs import (
    ErasureAnswer,
    Interest,
    InterestsAnswer,
    InterestsRequest,
    ListAnswer,
    ListItem,
    RecommendationsRequest,
    SearchRequest,
    SimilarAnswer,
    SimilarItem,
    SimilarRequest,
    UserRequest,
)
from honeyguide.shop.honeyguide import Honeyguide
from honeyguide.shop.recommend import Listed

_KEPT = (
    "What was imported stays in the shop's data folder, and what the last fit learned from all users together "
    "stays in its models: import without this user and fit anew"
)


def interests(shop: Honeyguide, asked: InterestsRequest) -> Draft:
    """What a user is held to want."""
    found = shop.interests(asked.user_id, top=asked.top)
    told = tuple(
        Interest(**{name: getattr(one, name) for name in Interest.__struct_fields__}) for one in found
    )
    return Draft(InterestsAnswer(user_id=asked.user_id, interests=told))


def recommendations(shop: Honeyguide, asked: RecommendationsRequest) -> Draft:
    """A list that explores nothing."""
    return Draft(_listed(shop.recommend(asked.user_id, k=asked.k, by=asked.by)))


def search(shop: Honeyguide, asked: SearchRequest) -> Draft:
    """What a query may mean."""
    rules = None if asked.rules is None else asked.rules.rules()
    return Draft(_listed(shop.search(asked.query, user_id=asked.user_id, k=asked.k, rules=rules)))


def similar(shop: Honeyguide, asked: SimilarRequest) -> Draft:
    """What is like an item, or goes along with it."""
    look = shop.bought_together if asked.together else shop.similar
    found = look(asked.item_id, k=asked.k)
    items = tuple(SimilarItem(**msgspec.to_builtins(one)) for one in found)
    return Draft(SimilarAnswer(item_id=asked.item_id, items=items))


def erase(shop: Honeyguide, asked: UserRequest, forget: Callable[[str], None]) -> Draft:
    """Erase a user, with a receipt; `forget` what the service itself holds of them."""
    forget(asked.user_id)
    erasure = shop.erase(asked.user_id)
    return Draft(
        ErasureAnswer(
            decisions=erasure.decisions,
            events=erasure.events,
            model_version=shop.fitted.version,
            kept=_KEPT,
        )
    )


def _listed(found: Sequence[Listed]) -> ListAnswer:
    return ListAnswer(items=tuple(ListItem(**msgspec.to_builtins(one)) for one in found))


def endpoints(forget: Callable[[str], None]) -> tuple[Endpoint, ...]:
    """The endpoints; `forget` is told who was erased."""
    return (
        Endpoint(
            name="interests",
            method="GET",
            path="/v1/users/{user_id:path}/interests",
            scope="read",
            summary="What a user is held to want, with uncertainty.",
            asks=InterestsRequest,
            answers=InterestsAnswer,
            work=interests,
        ),
        Endpoint(
            name="recommendations",
            method="GET",
            path="/v1/users/{user_id:path}/recommendations",
            scope="read",
            summary="List what a user is expected to take; it explores nothing and leaves no trace.",
            asks=RecommendationsRequest,
            answers=ListAnswer,
            work=recommendations,
        ),
        Endpoint(
            name="erase",
            method="DELETE",
            path="/v1/users/{user_id:path}",
            scope="admin",
            summary="Erase a user from the journal and from what was learned.",
            asks=UserRequest,
            answers=ErasureAnswer,
            work=lambda shop, asked: erase(shop, asked, forget),
            alone=True,
        ),
        Endpoint(
            name="similar",
            method="GET",
            path="/v1/similar",
            scope="read",
            summary="What is like an item, or what is taken together with it.",
            asks=SimilarRequest,
            answers=SimilarAnswer,
            work=similar,
        ),
        Endpoint(
            name="search",
            method="POST",
            path="/v1/search",
            scope="read",
            summary="List what a query may mean.",
            asks=SearchRequest,
            answers=ListAnswer,
            work=search,
        ),
    )
