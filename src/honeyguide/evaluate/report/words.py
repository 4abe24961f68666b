"""Numbers and findings as a reader wants them: units said, signs shown, no digits that mean nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import date

from honeyguide.evaluate.results import Band, ExampleDecision, PolicyResult, ReplayReport

NBSP = "\u00a0"
MINUS = "\u2212"


def coordinate(value: float) -> str:
    """A drawing coordinate: a tenth of a pixel is as fine as an eye can see."""
    short = f"{value:.1f}".removesuffix(".0")
    return "0" if short == "-0" else short


def number(value: float, decimals: int = 0) -> str:
    """A number with thousands separated and a true minus sign."""
    plain = f"{value:,.{decimals}f}"
    if not plain.strip("-0.,"):
        plain = plain.lstrip("-")
    return plain.replace("-", MINUS)


def signed(value: float, decimals: int = 0) -> str:
    """A difference: always with its sign, unless it rounds to nothing."""
    plain = number(value, decimals)
    return plain if plain.startswith(MINUS) or not plain.strip("0.,") else "+" + plain


def percent(share: float, decimals: int = 0) -> str:
    """A share as a percentage."""
    return number(100 * share, decimals) + NBSP + "%"


def points(value: float, decimals: int = 0) -> str:
    """A number that is a percentage already."""
    return number(value, decimals) + NBSP + "%"


def signed_percent(share: float, decimals: int = 1) -> str:
    """A change as a percentage with its sign."""
    return signed(100 * share, decimals) + NBSP + "%"


def small_share(share: float) -> str:
    """A share that may be tiny but is not nothing."""
    if 0 < share < 0.0001:
        return f"<{NBSP}0.01{NBSP}%"
    return percent(share, 2 if share < 0.1 else 1)


def count(n: int, one: str, many: str | None = None) -> str:
    """`n` things, in the singular where there is one."""
    return f"{number(n)} {one if n == 1 else many or one + 's'}"


def decimals_for(bands: Iterable[Band]) -> int:
    """So many decimals that the narrowest interval's half-width still shows, and no more."""
    widths = [(band.high - band.low) / 2 for band in bands if band.high > band.low]
    if not widths:
        return 2
    return min(max(math.ceil(-math.log10(min(widths) / 5)), 0), 4)


def interval(band: Band, decimals: int) -> str:
    """The interval's ends, for levels."""
    return f"{number(band.low, decimals)} to {number(band.high, decimals)}"


def signed_interval(band: Band, decimals: int) -> str:
    """The interval's ends, for differences."""
    return f"{signed(band.low, decimals)} to {signed(band.high, decimals)}"


def served_policy(report: ReplayReport) -> PolicyResult:
    """The policy whose decisions the journal holds."""
    return next(policy for policy in report.policies if policy.policy == report.served)


def is_exploit_only(policy: PolicyResult) -> bool:
    """Whether the policy is the yardstick itself: nothing ever differs from the exploit-only page."""
    return policy.versus_greedy == Band(0.0, 0.0, 0.0) and all(
        week == Band(0.0, 0.0, 0.0) for week in policy.cumulative
    )


def relative(policy: PolicyResult) -> Band | None:
    """The difference to the exploit-only page as a share of what that page earned; None where it earned nothing."""
    base = policy.reward.mean - policy.versus_greedy.mean
    if base <= 0:
        return None
    difference = policy.versus_greedy
    return Band(difference.mean / base, difference.low / base, difference.high / base)


def verdict_word(difference: Band) -> str:
    """What the interval of a paired difference allows to say, and nothing beyond."""
    if difference.low > 0:
        return "better than"
    if difference.high < 0:
        return "worse than"
    return "not distinguishable from"


def verdict(report: ReplayReport) -> str:
    """The finding in one sentence, made from the numbers."""
    served = served_policy(report)
    if is_exploit_only(served):
        return f"{served.title} is the exploit-only page itself, so there is no difference to judge."
    difference = served.versus_greedy
    word = verdict_word(difference)
    reason = "contains 0" if word.startswith("not") else "does not contain 0"
    return (
        f"{served.title} was {word} the exploit-only page: it earned {_gap(served)}; that interval {reason}."
    )


def _gap(served: PolicyResult) -> str:
    difference, share = served.versus_greedy, relative(served)
    if share is None:
        decimals = decimals_for([difference])
        return (
            f"{signed(difference.mean, decimals)} rewarded items a page "
            f"(95{NBSP}% interval {signed_interval(difference, decimals)})"
        )
    low, high = (signed_percent(end) for end in (share.low, share.high))
    direction = "more" if share.mean >= 0 else "less"
    return f"{percent(abs(share.mean), 1)} {direction} per page (95{NBSP}% interval {low} to {high})"


def promise(report: ReplayReport) -> str | None:
    """Whether the measured reward kept the promised floor; None where there is nothing to hold it against."""
    served = served_policy(report)
    share = relative(served)
    if share is None or is_exploit_only(served):
        return None
    promised = 1 - report.epsilon
    low, middle, high = (percent(1 + end, 1) for end in (share.low, share.mean, share.high))
    subject = f"at least {percent(promised)} of the exploit-only page's reward"
    measured = f"measured: {middle}, 95{NBSP}% interval {low} to {high}"
    if 1 + share.low >= promised:
        return f"The promise of {subject} was kept ({measured})."
    if 1 + share.high < promised:
        return f"The promise of {subject} was not kept ({measured})."
    return f"Whether the promise of {subject} was kept cannot be told from this replay ({measured})."


def level_word(level: float) -> str:
    """The exploration level in words."""
    steps = (
        (0.0, "no exploring"),
        (0.15, "very little exploring"),
        (0.4, "some exploring"),
        (0.75, "much exploring"),
    )
    return next((word for limit, word in steps if level <= limit), "full exploring")


def example_summary(example: ExampleDecision) -> str:
    """What a decision came to, in one line."""
    explored = sum(item.explored for item in example.items)
    rewarded = sum(item.reward > 0 for item in example.items)
    discoveries = sum(item.discovery for item in example.items)
    return (
        f"{explored} of {count(len(example.items), 'item')} explored, "
        f"{number(rewarded)} rewarded, {count(discoveries, 'discovery', 'discoveries')}"
    )


def mean(values: Sequence[float]) -> float:
    """The plain average; the caller sees to it that there is something to average."""
    return sum(values) / len(values)


def week_label(week: str) -> str:
    """A week's first day the short way; a name that is no date stays as it is.

    >>> week_label("2017-03-06")
    '6 Mar'
    """
    try:
        day = date.fromisoformat(week)
    except ValueError:
        return week
    return f"{day.day} {_MONTHS[day.month - 1]}"


def number_words(n: int) -> str:
    """Small numbers as a title has them."""
    return _NUMBERS[n] if n < len(_NUMBERS) else number(n)


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NUMBERS = (
    "No",
    "One",
    "Two",
    "Three",
    "Four",
    "Five",
    "Six",
    "Seven",
    "Eight",
    "Nine",
    "Ten",
    "Eleven",
    "Twelve",
)
