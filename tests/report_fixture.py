"""A made-up replay of a grocery, as large as a real one, from one seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from honeyguide.data.clean import CleaningReport, RuleCount
from honeyguide.evaluate.results import (
    Band,
    Curve,
    ExampleDecision,
    HeadResult,
    Interest,
    InterestBelief,
    LanguageModel,
    LevelWeek,
    MapPoint,
    PolicyResult,
    Promise,
    Ranked,
    ReplayReport,
    SequenceLearning,
    ShownItem,
)
from honeyguide.explore.kinds_chosen import Foresight, PriorQuality
from honeyguide.interests.forecast import ForecastQuality
from honeyguide.interests.heads_quality import HeadQuality, Reliability

PAGES = 24_318
WEEKS = tuple(
    (
        "2017-10-02 2017-10-09 2017-10-16 2017-10-23 2017-10-30 2017-11-06 2017-11-13 2017-11-20 2017-11-27 "
        "2017-12-04 2017-12-11"
    ).split()
)
POLICIES = (
    ("popularity", "Popularity", -0.24),
    ("greedy", "Exploit only", 0.0),
    ("thompson-0.2", "Fixed level 0.2", 0.012),
    ("thompson-0.5", "Fixed level 0.5", -0.008),
    ("thompson-1", "Fixed level 1", -0.071),
    ("uniform", "Uniform", -0.92),
    ("tradeoff", "Honeyguide's trade-off", 0.031),
)
AISLES = {
    "Fruit and vegetables": ("Bananas", "Salad mixes", "Berries", "Potatoes", "Tomatoes", "Herbs"),
    "Milk and cheese": ("Fluid milk, white only", "Shredded cheese", "Yogurt", "Butter", "Eggs", "Cream"),
    "Frozen meals": ("Pizza, premium", "Frozen entrees", "Appetizers", "Vegetables", "Ice cream", "Waffles"),
    "Bread and bakery": ("White bread", "Hamburger buns", "Tortillas", "Muffins", "Cakes", "Bagels"),
    "Soft drinks and water": ("Cola, 12-packs", "Still water", "Isotonic drinks", "Juice", "Energy drinks", "Tea"),
    "Household cleaning": ("Laundry detergent", "Dish soap", "Paper towels", "Trash bags", "Air care", "Bleach"),
    "Pet care": ("Dry dog food", "Wet cat food", "Cat litter", "Dog treats", "Bird food", "Pet toys"),
    "Meat and seafood": ("Ground beef", "Chicken breast", "Bacon", "Lunch meat", "Salmon fillets", "Pork chops"),
    "Snacks and sweets": ("Potato chips", "Cookies", "Candy bars", "Crackers", "Popcorn", "Nuts"),
    "Baking and spices": ("Cake mixes", "Sugar", "Flour", "Spices and extracts", "Vegetable oil", "Frosting"),
    "Health and beauty": ("Shampoo", "Toothpaste", "Deodorants", "Vitamins", "Make-up", "Shaving care"),
    "Coffee and breakfast": ("Ground coffee", "Adult cereal", "Kids' cereal", "Oatmeal", "Pancake syrup", "Creamer"),
}  # fmt: skip
SIZES = ("12 oz", "10.75 oz", "1 gal", "16 ct", "2 lb", "64 oz", "0.5 gal", "6 pk")


def make_report(seed: int = 7) -> ReplayReport:
    """Seven policies, eleven weeks, twelve top interests with six leaves each, 2,500 items, ten decisions."""
    rng = np.random.default_rng(seed)
    interests = make_interests(rng)
    return ReplayReport(
        shop="Riverside Grocers",
        first_day="2017-10-02",
        last_day="2017-12-17",
        pages=PAGES,
        users=801,
        k=10,
        epsilon=0.05,
        caveat="A replay can compare policies fairly, because all of them met the same visits and were paid only "
        "for what the household really bought. It cannot prove that showing an item caused the purchase, "
        "that an item nobody happened to buy would not have been welcome, or how much a live page would earn.",
        weeks=WEEKS,
        policies=tuple(make_policy(rng, *facts) for facts in POLICIES),
        served="tradeoff",
        levels=make_levels(rng),
        interests=interests,
        points=make_points(rng, interests),
        user_id="1228",
        beliefs=make_beliefs(rng),
        examples=tuple(make_example(rng, number) for number in range(10)),
        cleaning=CleaningReport(
            events_in=1_469_307,
            events_out=1_452_118,
            items_in=92_331,
            items_out=68_509,
            rules=(
                RuleCount("duplicates", 4_127, "the same user, item, kind and value within one second"),
                RuleCount("future", 0, "events later than the import's own clock"),
                RuleCount("bots", 61, "more than 2,000 events of one user on one day"),
                RuleCount("outliers", 12, "an event worth more than 1,000 USD"),
                RuleCount("excluded_categories", 12_989, "fuel, coupons and postage cannot be recommended"),
                RuleCount("unbought_items", 23_822, "items that nobody ever touched tell nothing"),
            ),
        ),
        seconds=(("Import", 14.2), ("Clean", 3.1), ("Adapt the language model", 212.4), ("Replay", 96.0)),
        language=make_language(rng),
        sequence=make_sequence(rng),
        heads=(make_head(rng),),
        prior=PriorQuality(
            users=1_219,
            count=3,
            one=Foresight(5.938, 0.960),
            kinds=Foresight(6.010, 0.961),
            leaning=Foresight(6.036, 0.959),
        ),
    )


def make_head(rng: np.random.Generator) -> HeadResult:
    """A head that is a little too sure at the top."""
    given = np.array([0.006, 0.02, 0.04, 0.06, 0.1, 0.15, 0.23, 0.33, 0.5, 0.76])
    came = given * (1 - 0.25 * given) * rng.uniform(0.95, 1.05, len(given))
    shares = np.array([0.56, 0.17, 0.1, 0.06, 0.04, 0.03, 0.02, 0.01, 0.006, 0.004])
    bins = tuple(
        Reliability(*map(float, one)) for one in zip(given, came, shares / shares.sum(), strict=True)
    )
    quality = HeadQuality(
        rows=500_000,
        came=16_450,
        base=0.0329,
        auc=0.861,
        log_loss=0.1092,
        base_log_loss=0.1446,
        ece=0.0043,
        bins=bins,
    )
    ranked = (Ranked("Chance of a purchase", 0.429, 0.082), Ranked("Expected reward", 0.416, None))
    return HeadResult("purchase", 1000, quality, ranked)


def make_sequence(rng: np.random.Generator) -> SequenceLearning:
    """Twenty epochs, the last few of which learn by heart."""
    epochs = tuple(range(1, 21))
    at = np.arange(20)
    train = 6.2 + 2.6 * np.exp(-at / 6) - 0.03 * at + rng.normal(0, 0.02, 20)
    held = 6.9 + 1.9 * np.exp(-at / 4) + 0.004 * np.maximum(at - 10, 0) ** 2
    ndcg = 0.09 * (1 - np.exp(-at / 5)) - 0.0004 * np.maximum(at - 13, 0) + 0.01
    curves = {"train": train, "held_out": held, "ndcg": ndcg, "recall": 1.8 * ndcg}
    return SequenceLearning(
        curves=tuple(Curve(name, epochs, tuple(map(float, values))) for name, values in curves.items()),
        mixture="Mixed in is what others took along with the user's items.",
        forecast=ForecastQuality(
            users=2_400, new_users=310, ece=0.021, new_ece=0.017, top_1=0.31, top_3=0.58, new_top_3=0.22,
            log_loss=2.41, usual_log_loss=3.52, usual_top_3=0.19, usual_new_top_3=0.12,
        ),
    )  # fmt: skip


def make_language(rng: np.random.Generator) -> LanguageModel:
    """Three hundred steps of two objectives, and six looks at held-out texts."""
    steps = tuple(range(1, 301))
    falling = np.exp(-np.arange(300) / 90)
    masked = 2.1 + 1.9 * falling + rng.normal(0, 0.12, 300)
    together = 1.4 + 2.4 * falling + rng.normal(0, 0.2, 300)
    looks = (41.5, 33.0, 29.2, 27.9, 27.4, 27.6)
    return LanguageModel(
        steps=300,
        before=58.3,
        after=27.4,
        curves=(
            Curve("contrastive", steps, tuple(map(float, together))),
            Curve("masked", steps, tuple(map(float, masked))),
            Curve("perplexity", tuple(range(50, 301, 50)), looks),
        ),
    )


def around(mean: float, half_width: float) -> Band:
    """A symmetric band."""
    return Band(mean, mean - half_width, mean + half_width)


def with_difference(report: ReplayReport, difference: Band) -> ReplayReport:
    """The report with another paired difference of the served policy."""
    policies = tuple(
        replace(policy, versus_greedy=difference) if policy.policy == report.served else policy
        for policy in report.policies
    )
    return replace(report, policies=policies)


def make_policy(rng: np.random.Generator, policy: str, title: str, gain: float) -> PolicyResult:
    season = (
        1.28 + 0.05 * np.sin(np.arange(len(WEEKS)) / 2) + np.random.default_rng(1).normal(0, 0.02, len(WEEKS))
    )
    learnt = gain * np.linspace(0.4, 1.6, len(WEEKS)) if gain > 0 else np.full(len(WEEKS), gain)
    wobble = rng.normal(0, 0.008, len(WEEKS)) * (gain != 0)
    weekly = [float(value) for value in season + learnt + wobble]
    added = np.cumsum((learnt + wobble) * PAGES / len(WEEKS))
    spread = 0.0 if gain == 0 else 12.0 + 60 * abs(gain) ** 0.5
    cumulative = [around(float(v), spread * (i + 1) ** 0.5) for i, v in enumerate(added)]
    return PolicyResult(
        policy=policy,
        title=title,
        reward=around(float(np.mean(weekly)), 0.034),
        discoveries=around(0.21 + 0.6 * gain * (gain > 0) + 0.1 * gain * (gain < 0), 0.009),
        interests=around(0.02 + 0.05 * gain * (gain > 0), 0.002),
        versus_greedy=around(gain, 0.0 if gain == 0 else 0.011 + 0.02 * abs(gain)),
        weekly_reward=tuple(around(value, 0.085) for value in weekly),
        cumulative=tuple(cumulative),
        promise=None if policy in {"popularity", "habit"} else Promise(1.12, 1.03),
    )


def make_levels(rng: np.random.Generator) -> tuple[LevelWeek, ...]:
    medians = 0.32 * np.exp(-np.arange(len(WEEKS)) / 5) + 0.08 + rng.normal(0, 0.008, len(WEEKS))
    return tuple(
        LevelWeek(
            week=week,
            p10=max(float(median) - 0.1, 0.0),
            median=float(median),
            p90=float(median) * 1.9,
            mean=float(median) * 1.15,
            expected_cost=float(median) * 0.09,
        )
        for week, median in zip(WEEKS, medians, strict=True)
    )


def make_interests(rng: np.random.Generator) -> tuple[Interest, ...]:
    tops, leaves = [], []
    for t, (name, below) in enumerate(AISLES.items()):
        angle = 2.4 * t
        x, y = (2.2 + 0.75 * t**0.5) * np.cos(angle), (1.5 + 0.5 * t**0.5) * np.sin(angle)
        sizes = rng.integers(8, 62, len(below))
        tops.append(Interest(t, name, None, int(sizes.sum()), int(sizes.sum()) * 31, float(x), float(y)))
        for i, leaf in enumerate(below):
            node = len(AISLES) + t * 6 + i
            dx, dy = rng.normal(0, 0.45, 2)
            leaves.append(
                Interest(node, leaf, t, int(sizes[i]), int(sizes[i]) * 31, float(x + dx), float(y + dy))
            )
    return (*tops, *leaves)


def make_points(rng: np.random.Generator, interests: tuple[Interest, ...]) -> tuple[MapPoint, ...]:
    points = []
    for leaf in interests:
        if leaf.parent is not None:
            xy = rng.normal((leaf.x, leaf.y), 0.22, (leaf.n_items, 2))
            points += [MapPoint(float(x), float(y), leaf.parent) for x, y in xy]
    return tuple(points)


def make_beliefs(rng: np.random.Generator) -> tuple[InterestBelief, ...]:
    beliefs = []
    for name in AISLES:
        evidence = int(rng.poisson(4) * (rng.random() < 0.7))
        before = float(rng.uniform(0.02, 0.15))
        after = before + float(rng.normal(0.04, 0.06)) * (evidence > 0)
        width = 0.11 / (1 + evidence) ** 0.5
        beliefs.append(InterestBelief(name, around(before, 0.11), around(after, width), evidence))
    return tuple(beliefs)


def make_example(rng: np.random.Generator, number: int) -> ExampleDecision:
    level = float(rng.choice((0.0, 0.1, 0.2, 0.35, 0.5)))
    reason = f"explores at {level:g}: expects to give up {level * 0.09:.1%} now, 7 more visits expected"
    return ExampleDecision(
        decision_id=f"replay-{1000 + number}",
        time=f"2017-{10 + number // 5}-{3 + 2 * number:02d} 17:{10 + number}",
        user_id=str(1228 + 17 * number),
        level=level,
        reason=reason,
        items=tuple(make_item(rng, slot, level) for slot in range(10)),
    )


def make_item(rng: np.random.Generator, slot: int, level: float) -> ShownItem:
    aisle = str(rng.choice(list(AISLES)))
    leaf = str(rng.choice(AISLES[aisle]))
    explored = bool(rng.random() < level)
    bought = bool(rng.random() < 0.16)
    return ShownItem(
        item_id=f"{rng.integers(10**6):06d}",
        text=f"{leaf}, {rng.choice(('National', 'Private'))} brand, {rng.choice(SIZES)}",
        why=f"your interest in {aisle} is still uncertain" if explored else f"you often choose {aisle}",
        propensity=float(rng.uniform(0.0004, 0.05) if explored else rng.uniform(0.1, 0.9)),
        expected=float(rng.uniform(0.05, 0.3)) * 0.95**slot,
        explored=explored,
        reward=float(bought),
        discovery=bought and bool(rng.random() < 0.5),
    )
