"""All settings together, and how they are read from `honeyguide.toml`."""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

from honeyguide.config.bounds import at_least
from honeyguide.config.data import Clean, Labels
from honeyguide.config.decide import Evaluate, Explore, Interests
from honeyguide.config.experiment import Apprentice, Experiment
from honeyguide.config.journal import Journal
from honeyguide.config.language import Adapt, Compress, Distil, Plm, Teach, Training
from honeyguide.config.models import Models
from honeyguide.config.rules import Rules
from honeyguide.config.sequence import Sequence
from honeyguide.config.serve import Serve
from honeyguide.errors import InvalidSettings

FILE_NAME = "honeyguide.toml"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a workspace."""

    name: str = "My shop"
    """The shop's name, as reports show it."""
    seed: int = 0
    """The root of all randomness: the same seed and the same data give the same shop."""
    currency: str = "USD"
    """The currency that prices and values are in; nothing is converted."""
    clean: Clean = field(default_factory=Clean)
    labels: Labels = field(default_factory=Labels)
    plm: Plm = field(default_factory=Plm)
    training: Training = field(default_factory=Training)
    adapt: Adapt = field(default_factory=Adapt)
    distil: Distil = field(default_factory=Distil)
    compress: Compress = field(default_factory=Compress)
    teach: Teach = field(default_factory=Teach)
    interests: Interests = field(default_factory=Interests)
    sequence: Sequence = field(default_factory=Sequence)
    explore: Explore = field(default_factory=Explore)
    rules: Rules = field(default_factory=Rules)
    models: Models = field(default_factory=Models)
    journal: Journal = field(default_factory=Journal)
    serve: Serve = field(default_factory=Serve)
    experiment: Experiment = field(default_factory=Experiment)
    apprentice: Apprentice = field(default_factory=Apprentice)
    evaluate: Evaluate = field(default_factory=Evaluate)

    def __post_init__(self) -> None:
        at_least(self, "seed", 0)
        if 0 < self.journal.keep_days < self.labels.window_days:
            raise InvalidSettings(
                f"[journal] keep_days must be 0 or at least [labels] window_days, {self.labels.window_days:g}: what "
                f"is younger is still learned from, got {self.journal.keep_days:g}"
            )


STAGES = MappingProxyType(
    {
        "clean": Clean,
        "labels": Labels,
        "plm": Plm,
        "training": Training,
        "adapt": Adapt,
        "distil": Distil,
        "compress": Compress,
        "teach": Teach,
        "interests": Interests,
        "sequence": Sequence,
        "explore": Explore,
        "rules": Rules,
        "models": Models,
        "journal": Journal,
        "serve": Serve,
        "experiment": Experiment,
        "apprentice": Apprentice,
        "evaluate": Evaluate,
    }
)


def load_settings(path: Path) -> Settings:
    """The settings in the TOML file at `path`; InvalidSettings names file, key and remedy."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidSettings(f"{path}: there is no such file. Run: honeyguide init {path.parent}") from None
    except OSError as error:
        raise InvalidSettings(f"{path}: cannot be read: {error.strerror}. Mend that first") from None
    except (ValueError, RecursionError) as error:  # what tomllib lets out of a file that is not TOML
        raise InvalidSettings(f"{path}: not valid TOML: {error}. Mend that line") from None
    return parse_settings(table, str(path))


def parse_settings(table: dict[str, Any], where: str = FILE_NAME) -> Settings:
    """Settings from a parsed TOML table; `where` names the source in errors."""
    stages: dict[str, Any] = {}
    for stage, kind in STAGES.items():
        section = table.get(stage, {})
        if not isinstance(section, dict):
            raise InvalidSettings(f"{where}: [{stage}] must be a table, got {section!r}")
        stages[stage] = _build(kind, section, f"{where}: [{stage}]")
    plain = {key: value for key, value in table.items() if key not in STAGES}
    checked = _checked(Settings, plain, where)
    try:
        return Settings(**checked, **stages)
    except InvalidSettings as error:
        raise InvalidSettings(f"{where}: {error}") from None


def _build(kind: type[Any], section: dict[str, Any], where: str) -> Any:  # noqa: ANN401
    try:
        return kind(**_checked(kind, section, where))
    except InvalidSettings as error:
        raise InvalidSettings(f"{where} {error}" if where not in str(error) else str(error)) from None


def _checked(kind: type[Any], section: dict[str, Any], where: str) -> dict[str, Any]:
    hints = get_type_hints(kind)
    known = [f.name for f in fields(kind)]
    checked: dict[str, Any] = {}
    for key, value in section.items():
        if key not in known:
            near = get_close_matches(key, known, n=1)
            remedy = f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(known)}"
            raise InvalidSettings(f"{where}: unknown key {key!r}. {remedy}")
        checked[key] = _coerce(value, hints[key], f"{where} {key}")
    return checked


def _coerce(value: Any, hint: Any, where: str) -> Any:  # noqa: ANN401
    if hint is float and type(value) in (int, float):
        if not abs(value) <= sys.float_info.max:  # also refuses NaN
            raise InvalidSettings(f"{where} must be a finite number, got {value}")
        return float(value)
    if isinstance(value, list):
        inner = hint.__args__[0] if getattr(hint, "__origin__", None) is tuple else None
        if inner is not None:
            return tuple(_coerce(entry, inner, where) for entry in value)
    if isinstance(hint, type) and type(value) is hint:
        return value
    wanted = getattr(hint, "__name__", str(hint))
    raise InvalidSettings(f"{where} must be a {wanted}, got {value!r}")
