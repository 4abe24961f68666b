"""How a language model is taught the shop's tasks: which ones, in which way, how long, and against what hardened."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from honeyguide.errors import InvalidInput

TASKS = ("category", "categories", "brand", "sentiment", "stars", "search", "relevance")
"""What a shop's own tables can teach: `examples.shop_examples` says what each is."""
PREFIX = "task-"
"""What the names of tasks' artefacts begin with."""
RATES = {"lora": 2e-3, "adalora": 4e-3, "houlsby": 2e-3, "pfeiffer": 2e-3, "head": 1e-2, "full": 2e-4}
"""The ways of training, each with the learning rate at which it learns well."""
ADVERSARIES = ("", "fgm", "pgd")
_PAIRS = 0.25  # what compares texts begins at what the encoder can do already, and big steps would forget it
_APART = ("tasks", "device", "trackers")


@dataclass(frozen=True, slots=True)
class TeachPlan:
    """How to teach.

    `checkpoint` is a folder, a package that carries weights, or a hub name. `learning_rate` 0 takes what suits the
    way. `dropout` is that of the transformer and of heads; `label_smoothing` and `rdrop` are for tasks that choose
    among classes, `noise` (and its `synonyms`, learned from searches) for all but tags of words: the others learn
    without.
    """

    checkpoint: str
    tasks: tuple[str, ...] = ()
    way: str = "lora"
    steps: int = 300
    learning_rate: float = 0.0
    batch_tokens: int = 1024
    max_tokens: int = 64
    noise: bool = False
    synonyms: bool = False
    adversarial: str = ""
    rdrop: float = 0.0
    label_smoothing: float = 0.0
    dropout: float = 0.1
    weight_decay: float = 0.01
    look_every: int = 50
    patience: int = 3
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    trackers: tuple[str, ...] = ("jsonl",)

    def __post_init__(self) -> None:
        for task in self.tasks:
            _among("tasks", task, TASKS)
        if len(set(self.tasks)) != len(self.tasks):
            raise InvalidInput(f"tasks must be distinct, got {', '.join(self.tasks)}")
        _among("way", self.way, tuple(RATES))
        _among("adversarial", self.adversarial, ADVERSARIES)
        for name, least in (
            ("steps", 1),
            ("look_every", 1),
            ("patience", 1),
            ("batch_tokens", 64),
            ("max_tokens", 8),
        ):
            if not getattr(self, name) >= least:
                raise InvalidInput(f"{name} must be at least {least}, got {getattr(self, name)}")
        for name in ("learning_rate", "rdrop", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise InvalidInput(f"{name} must be at least 0, got {getattr(self, name)}")
        for name in ("label_smoothing", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InvalidInput(f"{name} must be at least 0 and below 1, got {getattr(self, name)}")
        if self.synonyms and not self.noise:
            raise InvalidInput("synonyms are a part of the noise: set noise as well")

    def rate(self, *, pairs: bool) -> float:
        """The highest learning rate, of a task that compares `pairs` of texts or of one that does not."""
        return self.learning_rate or RATES[self.way] * (_PAIRS if pairs else 1)

    def settings(self) -> dict[str, Any]:
        """What decides what one task becomes: everything but which tasks there are, where it runs and who watches."""
        return {name: value for name, value in asdict(self).items() if name not in _APART}


def _among(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InvalidInput(f"{name} must be among {', '.join(map(repr, known))}, got {value!r}")
