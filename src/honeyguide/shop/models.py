"""What `fit` leaves behind for serving: item facts, users' histories and the policy's first state, as artefacts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from honeyguide import artifacts
from honeyguide.config import Settings
from honeyguide.data.catalog import Catalog
from honeyguide.errors import NoArtifact, NotReady
from honeyguide.interests.forecast import Forecast
from honeyguide.interests.heads import Heads
from honeyguide.interests.heads_signs import SIGNS
from honeyguide.interests.items import ItemFacts
from honeyguide.interests.sequence.model import SequenceModel
from honeyguide.interests.sequence.recent import Recent
from honeyguide.interests.taxonomy import Taxonomy
from honeyguide.interests.transitions import Transitions
from honeyguide.interests.users import History, ShopperModel
from honeyguide.shop import releases
from honeyguide.shop.finding import Finding
from honeyguide.shop.releases import FORECAST, HEADS, ITEMS, POLICY, SEQUENCE, TAXONOMY, USERS, Release
from honeyguide.types import State

_RECENT = ("tokens", "kinds", "time_us")


@dataclass(frozen=True, slots=True)
class Fitted:
    """A shop as it was fitted: everything a decision needs but the journal."""

    catalog: Catalog
    items: ItemFacts
    taxonomy: Taxonomy
    histories: Mapping[str, History]
    policy_state: State
    version: str
    until_us: int
    """Events up to here (epoch microseconds) are in the histories and in the policy's state."""
    fitted_as: str
    """What the policy's first state was learned from; who is erased from it does not change that."""
    journal_offset: int
    """Journal entries up to here were there when the shop was fitted."""
    finding: Finding
    """What similar items and search need; it is loaded when first asked for."""
    sequence: SequenceModel | None = None
    forecast: Forecast | None = None
    heads: Heads | None = None
    """None where the shop was fitted before there were any."""
    sees_next: bool = False
    """Whether the policy was fitted on what is likely next, too: a setting changes that with the next fit."""
    release: Release | None = None
    """Which release it is; None where the shop was fitted before there were any."""

    @property
    def transitions(self) -> Transitions | None:
        """Which interest follows which; None where no sequence model was fitted."""
        return None if self.forecast is None else self.forecast.transitions

    def shopper_model(self, settings: Settings) -> ShopperModel:
        """What turns a user's history into what the fitted policy sees."""
        return shopper_model(self.catalog, self.items, self.sequence, settings, sees_next=self.sees_next)


def shopper_model(
    catalog: Catalog,
    items: ItemFacts,
    sequence: SequenceModel | None,
    settings: Settings,
    *,
    sees_next: bool,
) -> ShopperModel:
    """What turns a user's history into what a policy sees, as the settings say."""
    return ShopperModel(
        catalog,
        items,
        grade=settings.labels.grade,
        half_life_days=settings.interests.half_life_days,
        sequence=sequence,
        sees_next=sees_next,
    )


def is_current(models: Path, fitted: Fitted) -> bool:
    """Whether this is the shop that is to serve now; NoArtifact, DamagedArtifact."""
    release_id = releases.active_id(models)
    if release_id is not None or fitted.release is not None:
        return fitted.release is not None and fitted.release.release_id == release_id
    return fitted.version == f"{artifacts.current(models, ITEMS)}.{artifacts.current(models, POLICY)}"


def load_fitted(models: Path, items_path: Path, release: Release | None = None) -> Fitted:
    """The fitted shop that is to serve, or another release of it.

    `items_path` is the catalogue of a shop that was fitted before there were releases. NoArtifact where something is
    missing, DamagedArtifact where a file was changed.
    """
    release = release or releases.active(models)
    parts: Mapping[str, str | None] = {} if release is None else release.parts
    items, users, policy, taxonomy = (
        artifacts.load(models, name, parts.get(name)) for name in (ITEMS, USERS, POLICY, TAXONOMY)
    )
    file = items_path if release is None else _sound_items(models, release)
    catalog = Catalog.read(file)
    if items.meta["catalog"] != catalog.version:
        raise NotReady("the catalogue has changed since the shop was fitted. Run: honeyguide fit")
    return Fitted(
        catalog=catalog,
        items=ItemFacts.from_state(items.arrays),
        taxonomy=Taxonomy.from_state(taxonomy.arrays, taxonomy.meta["taxonomy"]),
        histories=histories_from(users.arrays),
        policy_state=policy.arrays,
        version=f"{items.version}.{policy.version}",
        until_us=int(users.meta["until_us"]),
        fitted_as=str(policy.meta["key"]),
        journal_offset=int(policy.meta["journal_offset"]),
        sequence=_sequence(models, policy.meta.get("sequence")),
        forecast=_forecast(models, policy.meta.get("forecast")),
        heads=_heads(models, parts.get(HEADS), items.version, policy.meta.get("sequence")),
        sees_next=bool(policy.meta.get("sees_next", False)),
        finding=Finding(models, file, catalog.version, parts),
        release=release,
    )


def _sound_items(models: Path, release: Release) -> Path:
    artifacts.load(models, releases.CATALOG, release.parts[releases.CATALOG])
    return release.items_file(models)


def _sequence(models: Path, version: str | None) -> SequenceModel | None:
    """The model that the policy was fitted with; shops fitted before there was any have none."""
    if version is None:
        return None
    stored = artifacts.load(models, SEQUENCE, version)
    return SequenceModel.from_state(stored.arrays, stored.meta["sequence"])


def _forecast(models: Path, version: str | None) -> Forecast | None:
    return None if version is None else Forecast.from_state(artifacts.load(models, FORECAST, version).arrays)


def _heads(models: Path, version: str | None, items: str, sequence: str | None) -> Heads | None:
    """The heads that were fitted with these facts and this model, and see what heads see now."""
    try:
        stored = artifacts.load(models, HEADS, version)
    except NoArtifact:
        return None
    made_of = (stored.meta["items"], stored.meta["sequence"], stored.meta["heads"]["signs"])
    if made_of != (items, sequence, list(SIGNS)):
        return None
    return Heads.from_state(stored.arrays, stored.meta["heads"])


def histories_state(histories: Mapping[str, History]) -> State:
    """Histories as flat arrays: users ascending, their item rows and days one after the other."""
    users = sorted(histories)
    names, offsets = artifacts.pack_strings(users)
    parts = [histories[user] for user in users]
    none = np.empty(0, dtype=np.int64)
    return {
        "users.names": names,
        "users.offsets": offsets,
        "starts": np.cumsum([0, *(len(part.rows) for part in parts)], dtype=np.int64),
        "day_starts": np.cumsum([0, *(len(part.days) for part in parts)], dtype=np.int64),
        **{
            field: np.concatenate([none, *(getattr(part, field) for part in parts)])
            for field in ("rows", "weight", "first_us", "last_us", "days")
        },
        "recent.starts": np.cumsum([0, *(len(part.recent) for part in parts)], dtype=np.int64),
        **{
            f"recent.{field}": np.concatenate([none, *(getattr(part.recent, field) for part in parts)])
            for field in _RECENT
        },
    }


def histories_from(state: State) -> dict[str, History]:
    """The histories whose `histories_state` this is; they are views, so this takes milliseconds."""
    users = artifacts.unpack_strings(state["users.names"], state["users.offsets"])
    seen = np.empty(0, dtype=np.uint64)
    histories = {}
    read = state.get("recent.starts", np.zeros(len(users) + 1, dtype=np.int64))
    tokens, kinds, times = (
        state.get(f"recent.{field}", np.empty(0, dtype=np.int64)).astype(kind)
        for field, kind in zip(_RECENT, (np.int64, np.int8, np.int64), strict=True)
    )
    for index, user in enumerate(users):
        part = slice(*state["starts"][index : index + 2])
        days = slice(*state["day_starts"][index : index + 2])
        histories[user] = History(
            rows=state["rows"][part],
            weight=state["weight"][part],
            first_us=state["first_us"][part],
            last_us=state["last_us"][part],
            days=state["days"][days],
            seen=seen,
            recent=Recent.of(*(column[slice(*read[index : index + 2])] for column in (tokens, kinds, times))),
        )
    return histories
