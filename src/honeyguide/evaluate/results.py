"""What an evaluation found, as frozen records: the report draws them, `--json` prints them."""

from __future__ import annotations

from dataclasses import dataclass

from honeyguide.data.clean import CleaningReport
from honeyguide.explore.kinds_chosen import PriorQuality
from honeyguide.interests.forecast import ForecastQuality
from honeyguide.interests.heads_quality import HeadQuality


@dataclass(frozen=True, slots=True)
class Band:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Promise:
    """How many times what was earned a policy had expected: of what it showed, and of all it chose among.

    The first is the greater where choosing the best chooses what is overestimated.
    """

    shown: float
    offered: float


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """How one policy did on the replayed traffic; the tuples run over the replay's weeks.

    `reward` is rewarded items per page, `discoveries` the first purchases among them, `interests` those that were
    discovered: new to the user, by a purchase or reactions to two items, each once a user. `versus_greedy` is the
    paired difference of reward to the exploit-only page; `cumulative` is that difference added up over all
    pages until the end of each week, in rewarded items. `promise` is None where scores are no expected rewards, or
    nothing was earned.
    """

    policy: str
    title: str
    reward: Band
    discoveries: Band
    interests: Band
    versus_greedy: Band
    weekly_reward: tuple[Band, ...]
    cumulative: tuple[Band, ...]
    promise: Promise | None = None


@dataclass(frozen=True, slots=True)
class LevelWeek:
    """The controller's exploration levels in one week: quantiles over its decisions, and the cost it saw."""

    week: str
    p10: float
    median: float
    p90: float
    mean: float
    expected_cost: float
    """Expected reward given up against the exploit-only page, as a share of it."""


@dataclass(frozen=True, slots=True)
class Interest:
    """One node of the taxonomy; `x`, `y` place it on the map, `parent` is None at the top."""

    node: int
    name: str
    parent: int | None
    n_items: int
    n_purchases: int
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class MapPoint:
    """One item on the interest map, under its top interest."""

    x: float
    y: float
    top: int


@dataclass(frozen=True, slots=True)
class InterestBelief:
    """How much a user is held to want an interest: posterior mean and 95 % interval, before and after."""

    name: str
    before: Band
    after: Band
    evidence: int
    """How many purchases of the interest were revealed in between."""


@dataclass(frozen=True, slots=True)
class ShownItem:
    """One shown item of an example decision."""

    item_id: str
    text: str
    why: str
    propensity: float
    expected: float
    explored: bool
    """Not on the page that exploit-only would have shown."""
    reward: float
    discovery: bool


@dataclass(frozen=True, slots=True)
class ExampleDecision:
    """One decision as the report shows it."""

    decision_id: str
    time: str
    user_id: str
    level: float
    reason: str
    items: tuple[ShownItem, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """A figure of a training job: its values at ascending steps."""

    name: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """How the language model was adapted: held-out perplexity before and after, and its curves."""

    steps: int
    before: float | None
    after: float | None
    curves: tuple[Curve, ...]


@dataclass(frozen=True, slots=True)
class TaughtTask:
    """A task that the language model was taught: `way` trained this `share` of the parameters.

    `examples` were learned from, chosen by and judged by. `figure` is what it is judged by, higher is better:
    `before` on the test part by `baseline`, who was taught nothing, and `after` by the task; `curve` is the same on
    the validation part as it learned, None where it was looked at nowhere.
    """

    name: str
    way: str
    share: float
    steps: int
    examples: tuple[int, int, int]
    baseline: str
    figure: str
    before: float
    after: float
    curve: Curve | None


@dataclass(frozen=True, slots=True)
class SequenceLearning:
    """How the sequence model learned: its curves by epoch, and how good its forecast of the next interest is.

    `curves` are train and held_out (losses over all items), ndcg and recall (at 10, of the events held out), and
    under a balance, for each thing wanted beside, how far from it users held out are, and its weight;
    `mixture` says what is mixed in. `forecast` is None where too few users were held out to judge it.
    """

    curves: tuple[Curve, ...]
    mixture: str
    forecast: ForecastQuality | None


@dataclass(frozen=True, slots=True)
class Ranked:
    """What ranking by something finds: NDCG, and that among items new to the visitor; None where nothing came."""

    name: str
    ndcg: float | None
    new_ndcg: float | None


@dataclass(frozen=True, slots=True)
class HeadResult:
    """How good a head's chances were on so many visits after the fit, and what ranking by them found, first."""

    kind: str
    pages: int
    quality: HeadQuality
    ranked: tuple[Ranked, ...]


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """Everything the HTML report shows of one replay."""

    shop: str
    first_day: str
    last_day: str
    pages: int
    users: int
    k: int
    epsilon: float
    caveat: str
    """What such a replay can and cannot prove, in a sentence or two."""
    weeks: tuple[str, ...]
    policies: tuple[PolicyResult, ...]
    served: str
    """The policy whose decisions the journal holds: the controller."""
    levels: tuple[LevelWeek, ...]
    interests: tuple[Interest, ...]
    points: tuple[MapPoint, ...]
    user_id: str
    beliefs: tuple[InterestBelief, ...]
    examples: tuple[ExampleDecision, ...]
    cleaning: CleaningReport
    seconds: tuple[tuple[str, float], ...]
    """Stage name and wall seconds, in order."""
    language: LanguageModel | None = None
    """None where the language model was taken as it is."""
    tasks: tuple[TaughtTask, ...] = ()
    sequence: SequenceLearning | None = None
    """None where no sequence model was fitted."""
    prior: PriorQuality | None = None
    """None where there were too few users to judge it."""
    heads: tuple[HeadResult, ...] = ()
    """None of them where the fit has none."""
