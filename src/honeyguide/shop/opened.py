"""An open shop: what was fitted, and what the journal tells of it since."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from honeyguide.config import Settings
from honeyguide.errors import JournalChanged
from honeyguide.explore.diverse import Inner
from honeyguide.interests.users import History, ShopperModel
from honeyguide.journal.open import open_journal
from honeyguide.journal.protocol import Entry, Journal
from honeyguide.shop.learning import Learning
from honeyguide.shop.models import Fitted, is_current, load_fitted
from honeyguide.shop.split import Split, apprentice_split, experiment_split
from honeyguide.shop.view import View
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Policy


def utc_now() -> datetime:
    """The wall clock: the one default that is not passed in, for callers who live in real time."""
    return datetime.now(UTC)  # noqa: TID251 - everything below takes the time as an argument


def unwatched(part: str) -> AbstractContextManager[None]:
    """Nobody is told of a page's parts."""
    return nullcontext()


class OpenShop:
    """A fitted shop whose journal is open."""

    def __init__(
        self, settings: Settings, fitted: Fitted, journal: Journal, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.settings = settings
        self.journal = journal
        self.clock = clock
        self.watch: Callable[[str], AbstractContextManager[None]] = unwatched
        """Told of a page's parts by name."""
        self._experiment = experiment_split(settings)
        self._apprentice = apprentice_split(settings)
        self.under: Split | None = None
        """What shares users out between this shop and another one: pages say that they were made under it."""
        self._learning = Learning(settings, fitted, journal)

    @classmethod
    def open(
        cls, folder: Path | str, *, store: Path | str | None = None, clock: Callable[[], datetime] = utc_now
    ) -> Self:
        """The fitted shop in this folder; NoWorkspace, NoArtifact or DamagedArtifact say what to run.

        `store` is where the journal is, in place of what [journal] store says: a file, or postgresql://...;
        JournalError, MissingExtra.
        """
        workspace = Workspace.at(folder)
        fitted = load_fitted(workspace.models, workspace.items)
        return cls(workspace.settings, fitted, open_journal(store or workspace.store), clock=clock)

    @property
    def _view(self) -> View:
        return self._learning.view

    @property
    def fitted(self) -> Fitted:
        """The shop as it was fitted, with the items that were put since."""
        return self._view.fitted

    @property
    def model(self) -> ShopperModel:
        """What turns a user's history into what a policy sees."""
        return self._view.model

    @property
    def policy(self) -> Inner:
        """What has been learned so far; in an experiment what its first arm has."""
        return self._learning.arms.beliefs[0]

    @property
    def policies(self) -> tuple[str, ...]:
        """The names of the policies that serve: in an experiment one for each arm."""
        return tuple(policy.name for policy in self._learning.arms.policies)

    def policy_of(self, user_id: str) -> Policy:
        """The policy that serves this user: in an experiment that of their arm."""
        return self._learning.arms.policy_of(user_id)

    def history(self, user_id: str) -> History:
        """What is known of the user: the fitted history and everything the journal holds since."""
        return self._learning.history(user_id)

    def record(self, entries: Sequence[Entry]) -> int:
        """Write down all of these or none, durably, and learn from them; how many were new.

        An event may be of any kind, also one that no decision led to. InvalidInput, UnknownDecision, JournalError.
        """
        new = self.journal.append(entries)
        self._learning.catch_up()
        return new

    def catch_up(self) -> int:
        """Learn from what other processes wrote down; how many entries of the journal that leaves unlearned."""
        self._learning.catch_up()
        return self._learning.behind()

    @property
    def outdated(self) -> bool:
        """Whether another release than this one is to serve now; NoArtifact, DamagedArtifact."""
        return not is_current(self.fitted.finding.models, self.fitted)

    @property
    def unsaved(self) -> int:
        """How many entries of the journal an open would have to learn again."""
        return self._learning.unsaved

    def save(self) -> None:
        """Store what was learned beside its journal offset, so that the next open begins there."""
        self._learning.save()

    def close(self) -> None:
        """Store what was learned beside its journal offset, and let go of the files."""
        try:
            # where another process erased somebody, it stored what is left: that stays
            with suppress(JournalChanged):
                self.save()
        finally:
            self.journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _know_more(self) -> None:
        """Learn from what others wrote; where one erased, what is known has to do: `record` says it in the end."""
        with suppress(JournalChanged):
            self._learning.catch_up()
