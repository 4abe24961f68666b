"""A shop's rules: what may be shown, what is put where, and how much of one kind a page may hold."""

from __future__ import annotations

from dataclasses import dataclass

from honeyguide.config.bounds import at_least, within
from honeyguide.errors import InvalidSettings

DIVERSIFY = ("dpp", "mmr")


@dataclass(frozen=True, slots=True)
class Rules:
    """What may be shown and where; a request may narrow the shop's own rules, never widen them.

    An attribute is `category`, `brand`, or any that the catalogue's items have.
    """

    include: tuple[str, ...] = ()
    """Show these only, such as "brand=Acme"; of one attribute any will do, of several each has to hold."""
    exclude: tuple[str, ...] = ()
    """Never show these, such as "category=Toys"; a category holds all that is below it."""
    exclude_ids: tuple[str, ...] = ()
    """Items never to show."""
    min_price: float = 0.0
    """Show nothing below this price; with a bound, what has no price is not shown."""
    max_price: float = 0.0
    """Show nothing above this price; 0 is no bound."""
    in_stock: bool = False
    """Leave out what the catalogue says is not available; what it does not say is shown."""
    most: tuple[str, ...] = ()
    """So many of one value on a page, at the most, such as "brand=3"."""
    boosts: tuple[str, ...] = ()
    """Factors of an item's score in recommendations and search, such as "brand=Acme:1.5" or "item=sku-1:2"."""
    pins: tuple[str, ...] = ()
    """Items that stand at a place of recommendations, such as "1:sku-1" for the first."""
    diversity: float = 0.0
    """How much recommendations avoid saying the same thing twice, from 0 to 1."""
    diversify: str = "dpp"
    """By what: dpp (a determinantal process) or mmr (maximal marginal relevance)."""

    def __post_init__(self) -> None:
        at_least(self, "min_price", 0)
        at_least(self, "max_price", 0)
        if 0 < self.max_price < self.min_price:
            raise InvalidSettings(
                f"min_price {self.min_price} is above max_price {self.max_price}: turn them round"
            )
        within(self, "diversity", 0, 1)
        if self.diversify not in DIVERSIFY:
            raise InvalidSettings(f"diversify must be one of {', '.join(DIVERSIFY)}, got {self.diversify!r}")
        for text in (*self.include, *self.exclude):
            valued(text)
        slots = [slot for slot, _ in self.pinned]
        items = [item for _, item in self.pinned]
        if len(set(slots)) < len(slots) or len(set(items)) < len(items):
            raise InvalidSettings(f"pins must name each place and each item once, got {self.pins}")
        _ = self.limits, self.boosted

    @property
    def limits(self) -> tuple[tuple[str, int], ...]:
        """Attributes, and how many of one value a page may hold."""
        return tuple(
            (name, _whole(count, "most", f"{name}={count}")) for name, count in map(valued, self.most)
        )

    @property
    def boosted(self) -> tuple[tuple[str, str, float], ...]:
        """(attribute, value, factor)."""
        return tuple(map(_boost, self.boosts))

    @property
    def pinned(self) -> tuple[tuple[int, str], ...]:
        """(place from 1, item id)."""
        return tuple(map(_pin, self.pins))


def valued(text: str) -> tuple[str, str]:
    """The attribute and the value of "attribute=value"."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise InvalidSettings(f"{text!r} is no rule: write it like brand=Acme")
    return name.strip(), value.strip()


def _boost(text: str) -> tuple[str, str, float]:
    rule, _, said = text.rpartition(":")
    try:
        factor = float(said)
    except ValueError:
        factor = float("nan")
    if not rule or not 0 < factor < 1e6:
        raise InvalidSettings(f"{text!r} is no boost: write a factor above 0 behind it, like brand=Acme:1.5")
    return (*valued(rule), factor)


def _pin(text: str) -> tuple[int, str]:
    place, _, item = text.partition(":")
    if not item:
        raise InvalidSettings(f"{text!r} is no pin: write place and item, like 1:sku-1")
    return _whole(place, "pins", text), item


def _whole(text: str, key: str, rule: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 10_000):
        raise InvalidSettings(f"{key} needs a whole number from 1 to 9999, got {rule!r}")
    return int(text)
