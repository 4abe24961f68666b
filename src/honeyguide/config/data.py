"""Settings of what comes in: how it is cleaned, and how it is labelled."""

from __future__ import annotations

from dataclasses import dataclass

from honeyguide.config.bounds import at_least, positive, within
from honeyguide.errors import InvalidSettings
from honeyguide.types import EVENT_KINDS


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
            at_least(self, key, 0)
        for key in (
            "bot_entropy_bits",
            "max_value",
            "before_created_days",
            "k_core",
            "session_gap_minutes",
            "clock_skew_s",
        ):
            at_least(self, key, 0)
        for key in ("price_ratio", "quantity_ratio"):
            if getattr(self, key) != 0:
                at_least(self, key, 1)
        at_least(self, "outlier_purchases", 2)
        within(self, "boilerplate_share", 0, 1)


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
        positive(self, "window_days")
        for kind in EVENT_KINDS:
            within(self, kind, 0, 1)
        for key in ("negatives", "alpha"):
            at_least(self, key, 0)
        at_least(self, "smallest_class", 1)
        for key in ("validation", "test"):
            positive(self, key)
        if not self.validation + self.test < 1:
            raise InvalidSettings(
                f"validation and test must leave some for training, got {self.validation} and {self.test}"
            )

    def grade(self, kind: str) -> float:
        """The reward of an event of this kind, in [0, 1]."""
        return float(getattr(self, kind))
