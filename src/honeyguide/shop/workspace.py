"""A workspace: one folder that holds a shop's settings, data, models, journal and reports."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

from honeyguide import artifacts
from honeyguide.artifacts import write_atomically
from honeyguide.config import FILE_NAME, STAGES, Settings, load_settings
from honeyguide.errors import DamagedArtifact, InvalidInput, NotReady, NoWorkspace
from honeyguide.journal.open import is_url, open_journal
from honeyguide.journal.protocol import Journal


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where everything of one shop lies."""

    root: Path

    @classmethod
    def at(cls, root: Path | str) -> Workspace:
        """The workspace in this folder; NoWorkspace where there is none."""
        path = Path(root)
        if not (path / FILE_NAME).is_file():
            raise NoWorkspace(
                f"{path} is not a Honeyguide workspace: it has no {FILE_NAME}. Run: honeyguide init {path}"
            )
        return cls(path)

    @classmethod
    def create(cls, root: Path | str, settings: Settings) -> Workspace:
        """A new workspace with these settings; one that is already there is left as it is and refused."""
        path = Path(root)
        if (path / FILE_NAME).exists():
            raise InvalidInput(f"{path / FILE_NAME} is already there: edit it, or choose another folder")
        if path.exists() and not path.is_dir():
            raise InvalidInput(f"{path} is a file: choose a folder")
        text = settings_toml(settings)
        workspace = cls(path)
        for folder in (path, workspace.data, workspace.models, workspace.cache, workspace.reports):
            folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path / FILE_NAME, text.encode())
        return workspace

    @property
    def settings(self) -> Settings:
        """The settings as they stand in the file now."""
        return load_settings(self.root / FILE_NAME)

    @property
    def data(self) -> Path:
        """Imported and cleaned tables."""
        return self.root / "data"

    @property
    def models(self) -> Path:
        """Versioned artefacts."""
        return self.root / "models"

    @property
    def cache(self) -> Path:
        """What can be thrown away and computed again."""
        return self.root / "cache"

    @property
    def reports(self) -> Path:
        """HTML reports and the evaluations behind them."""
        return self.root / "reports"

    @property
    def journal(self) -> Path:
        """The SQLite file with every decision and every piece of feedback, where they are in no database."""
        return self.root / "journal.db"

    @property
    def store(self) -> Path | str:
        """Where the journal is: its file, or the URL of the database that the settings name."""
        return self.settings.journal.store or self.journal

    def open_journal(self) -> Journal:
        """The shop's journal, made where there is none; the caller closes it; JournalError, MissingExtra."""
        return open_journal(self.store)

    @property
    def may_have_served(self) -> bool:
        """Whether there can be anything in the journal: its file is there, or it is in a database."""
        return is_url(self.store) or self.journal.is_file()

    @property
    def events(self) -> Path:
        """The cleaned events."""
        return self.data / "clean" / "events.parquet"

    @property
    def items(self) -> Path:
        """The cleaned catalogue."""
        return self.data / "clean" / "items.parquet"

    @contextmanager
    def alone(self, job: str) -> Iterator[None]:
        """Hold the workspace against a second job of this name; NotReady while another one runs."""
        handle = os.open(self.root / f".{job}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise NotReady(f"another {job} of {self.root} is running: wait until it is through") from None
            yield
        finally:
            os.close(handle)

    def drop_damaged(self) -> tuple[str, ...]:
        """Let go of artefacts that are not what their manifest says, so that `fit` makes them anew.

        The names that were let go. The policy goes with any of them: users' histories are stored with it.
        """
        names = sorted(entry.parent.name for entry in self.models.glob(f"*/{artifacts.POINTER}"))
        damaged = [name for name in names if not _sound(self.models, name)]
        if damaged:
            damaged = sorted({*damaged, "policy"})
        for name in damaged:
            (self.models / name / artifacts.POINTER).unlink(missing_ok=True)
        return tuple(damaged)


def _sound(models: Path, name: str) -> bool:
    try:
        artifacts.load(models, name)
    except DamagedArtifact:
        return False
    return True


def settings_toml(settings: Settings) -> str:
    """The settings as a TOML file that `load_settings` reads back to the same value."""
    lines = [
        "# What a shop can choose. Every key is optional; docs/settings.md says what each one means.",
        "",
    ]
    lines += [
        f"{f.name} = {_toml(getattr(settings, f.name))}" for f in fields(settings) if f.name not in STAGES
    ]
    for stage in STAGES:
        section = getattr(settings, stage)
        lines += ["", f"[{stage}]"]
        lines += [f"{f.name} = {_toml(getattr(section, f.name))}" for f in fields(section)]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        if not value.isascii() and value != value.encode("utf-8", "replace").decode():
            raise InvalidInput(f"{value!r} is no valid text: write it in UTF-8")
        # a JSON string is a TOML string, but for one control character
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    if is_dataclass(value):
        raise InvalidInput(f"a setting must be a plain value, got {value!r}")
    return repr(value)
