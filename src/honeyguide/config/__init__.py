"""Settings: one frozen dataclass per stage, read from `honeyguide.toml`."""

from honeyguide.config.data import Clean, Labels
from honeyguide.config.decide import Evaluate, Explore, Interests
from honeyguide.config.experiment import Apprentice, Experiment
from honeyguide.config.journal import Journal
from honeyguide.config.language import Adapt, Compress, Distil, Plm, Teach, Training
from honeyguide.config.models import Models
from honeyguide.config.rules import Rules
from honeyguide.config.sequence import Sequence
from honeyguide.config.serve import Serve
from honeyguide.config.settings import FILE_NAME, STAGES, Settings, load_settings, parse_settings

__all__ = [
    "FILE_NAME",
    "STAGES",
    "Adapt",
    "Apprentice",
    "Clean",
    "Compress",
    "Distil",
    "Evaluate",
    "Experiment",
    "Explore",
    "Interests",
    "Journal",
    "Labels",
    "Models",
    "Plm",
    "Rules",
    "Sequence",
    "Serve",
    "Settings",
    "Teach",
    "Training",
    "load_settings",
    "parse_settings",
]
