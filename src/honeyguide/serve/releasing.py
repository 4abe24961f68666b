"""Which fit serves: what there is, activate another one, roll back. What serves goes on until it is opened."""

from __future__ import annotations

from pathlib import Path

from honeyguide.errors import DamagedArtifact
from honeyguide.journal.codec import from_us
from honeyguide.serve.endpoint import Draft, Endpoint
from honeyguide.serve.problems import NOT_READY, Refusal
from honeyguide.serve.release_structs import (
    CanaryAnswer,
    CanaryRequest,
    ModelsAnswer,
    ModelsRequest,
    ReleaseAnswer,
    ReleaseRequest,
    ReleasesAnswer,
)
from honeyguide.shop import canary, releases
from honeyguide.shop.honeyguide import Honeyguide


def models(shop: Honeyguide, asked: ModelsRequest) -> Draft:
    """What serves, and what else is kept."""
    fitted, counts = shop.fitted, shop.journal.counts()
    return Draft(
        ModelsAnswer(
            shop=shop.settings.name,
            model_version=fitted.version,
            catalog_version=fitted.catalog.version,
            policies=shop.policies,
            items=len(fitted.catalog),
            users=len(fitted.histories),
            fitted_until=from_us(fitted.until_us),
            decisions=counts.decisions,
            events=counts.events,
            behind=shop.catch_up(),
            releases=_kept(shop),
            canary=_canary(shop),
        )
    )


def activate(shop: Honeyguide, asked: ReleaseRequest) -> Draft:
    """Let a release serve."""
    try:
        releases.activate(_models(shop), asked.number)
    except DamagedArtifact:
        raise Refusal(
            NOT_READY, f"release {asked.number} is damaged: activate another one, or restore a backup"
        ) from None
    return Draft(_told(shop))


def roll_back(shop: Honeyguide, asked: ModelsRequest) -> Draft:
    """Let the release before the one that serves serve again."""
    try:
        releases.roll_back(_models(shop))
    except DamagedArtifact:
        raise Refusal(NOT_READY, "the release before is damaged: activate another one") from None
    return Draft(_told(shop))


def start_canary(shop: Honeyguide, asked: CanaryRequest) -> Draft:
    """Let a release serve a share of the users."""
    try:
        canary.start(_models(shop), asked.number, asked.share, now=shop.clock())
    except DamagedArtifact:
        raise Refusal(NOT_READY, f"release {asked.number} is damaged: take another one") from None
    return Draft(_told(shop))


def _told(shop: Honeyguide) -> ReleasesAnswer:
    return ReleasesAnswer(releases=_kept(shop), canary=_canary(shop))


def _canary(shop: Honeyguide) -> CanaryAnswer | None:
    found = canary.read(_models(shop))
    if found is None:
        return None
    return CanaryAnswer(
        number=found.number, share=found.share, since=found.since, taken_back=found.taken_back or None
    )


def _kept(shop: Honeyguide) -> tuple[ReleaseAnswer, ...]:
    active = releases.active_id(_models(shop))
    here = shop.fitted.release
    return tuple(
        ReleaseAnswer(
            number=one.number,
            made=one.made,
            model_version=one.model_version,
            active=one.release_id == active,
            serving=here is not None and one.release_id == here.release_id,
        )
        for one in releases.all_of(_models(shop))
    )


def _models(shop: Honeyguide) -> Path:
    return shop.fitted.finding.models


ENDPOINTS = (
    Endpoint(
        name="models",
        method="GET",
        path="/v1/models",
        scope="read",
        summary="What serves: versions, policies, how far the journal is learned from, and which releases are kept.",
        asks=ModelsRequest,
        answers=ModelsAnswer,
        work=models,
    ),
    Endpoint(
        name="activate_model",
        method="POST",
        path="/v1/models/{number:int}/activate",
        scope="admin",
        summary="Let a release that is kept serve; it takes over within seconds, and no request is lost.",
        asks=ReleaseRequest,
        answers=ReleasesAnswer,
        work=activate,
        aside=True,
    ),
    Endpoint(
        name="roll_back_model",
        method="POST",
        path="/v1/models/rollback",
        scope="admin",
        summary="Let the release before the one that serves serve again.",
        asks=ModelsRequest,
        answers=ReleasesAnswer,
        work=roll_back,
        aside=True,
    ),
    Endpoint(
        name="start_canary",
        method="POST",
        path="/v1/models/{number:int}/canary",
        scope="admin",
        summary="Let a release serve a share of the users beside the one that serves; harm takes it back.",
        asks=CanaryRequest,
        answers=ReleasesAnswer,
        work=start_canary,
        aside=True,
    ),
)
