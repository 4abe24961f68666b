"""The worlds that policies are tried in: each is a setting of one record, and none is made so that exploring pays."""

from __future__ import annotations

from dataclasses import dataclass

from honeyguide.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class World:
    """How people come, want, tire and change, and how pages are made for them."""

    name: str
    days: float = 120.0
    """How long it is played."""
    users: int = 450
    """People who come for the first time within those days."""
    visits: float = 14.0
    """How often one comes back in the mean, where nothing else ends it: the first visit counts."""
    short_share: float = 0.0
    """The share of the people who are short-lived: they come `short_visits` times in the mean."""
    short_visits: float = 1.5
    gap_days: float = 4.0
    """Mean time from one visit to the next."""
    share: float = 0.05
    """What a slot of the page of best sellers earns in the mean, were every slot looked at."""
    hidden: float = 0.5
    """How much items differ in appeal by what neither text nor popularity tells: a standard deviation in logits."""
    only_popular: bool = False
    """Whether popularity, as the shop has counted it, is all that anybody goes by."""
    new_items: float = 0.0
    """The share of the catalogue that comes in as time goes on, without any popularity."""
    fresh: int = 10
    """How many of the candidates are drawn from what came in lately, where there is any."""
    drift: float = 0.0
    """The chance that each of a user's tastes gives way to another in `drift_days`."""
    drift_days: float = 30.0
    position_bias: float = 0.0
    """Slot j is looked at with chance (1 + j) to the minus this: 0 looks at all of them."""
    season: float = 0.0
    """How far demand for each true interest swings about its mean, in logits."""
    season_days: float = 90.0
    peak: float = 0.0
    """How far traffic swings about its mean within a season, as a share of it."""
    retention: float = 0.0
    """How many logits a visitor is likelier to come back after pages twice as good as `share` would make them."""
    boredom: float = 0.0
    """How many logits an interest loses that has filled page after page; each visit halves what was before."""
    delay_days: float = 0.0
    """How long after the page its feedback is known."""
    candidates: int = 100
    k: int = 10

    def __post_init__(self) -> None:
        for name in ("days", "users", "gap_days", "drift_days", "season_days"):
            _within(self, name, 1e-9, float("inf"))
        for name in ("visits", "short_visits"):
            _within(self, name, 1.0, float("inf"))
        for name in ("share", "short_share", "new_items", "drift", "peak"):
            _within(self, name, 0.0, 1.0)
        for name in ("hidden", "fresh", "position_bias", "season", "retention", "boredom", "delay_days"):
            _within(self, name, 0.0, float("inf"))
        if not 1 <= self.k <= self.candidates - self.fresh:
            raise InvalidInput(
                f"k must lie in 1..{self.candidates - self.fresh} (candidates less fresh ones), got {self.k}"
            )
        if not 0 < self.share < 1:
            raise InvalidInput(f"share must lie within 0..1, got {self.share}")


def _within(world: World, name: str, low: float, high: float) -> None:
    value = getattr(world, name)
    if not low <= value <= high:  # also refuses NaN
        raise InvalidInput(f"{name} must lie in {low:g}..{high:g}, got {value}")


STATIONARY = World("stationary")
ARRIVALS = World("arrivals", new_items=0.3)
DRIFT = World("drift", drift=0.4)
MIXED = World("short and long", short_share=0.7, users=900, visits=25.0)
RETENTION = World("retention", retention=1.0, boredom=1.0, visits=8.0, users=600)
POSITION = World("position", position_bias=0.7)
SEASON = World("season", season=1.0, peak=0.6)
ONE_VISIT = World("one visit", visits=1.0, users=1200)
ONLY_POPULAR = World("only popular", only_popular=True)

WORLDS = (STATIONARY, ARRIVALS, DRIFT, MIXED, RETENTION, POSITION, SEASON, ONE_VISIT, ONLY_POPULAR)
"""The worlds of `benchmarks/tradeoff.py`: in the last two exploring cannot pay."""
