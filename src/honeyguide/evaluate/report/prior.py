"""How many kinds of users there are, and how well the prior foresees users nobody has met."""

from __future__ import annotations

from honeyguide.evaluate.report.html import Column, Markup, nothing, paragraph, section, table
from honeyguide.evaluate.report.words import number, percent
from honeyguide.evaluate.results import ReplayReport
from honeyguide.explore.kinds_chosen import Foresight, PriorQuality

_TITLE = "Kinds of users"
_NOTHING = "There were too few users to tell kinds of them apart, or an older release fitted the policy."


def prior_section(report: ReplayReport) -> Markup:
    """The chosen number of kinds, and a table of what one, several, and leaning ones foresee."""
    quality = report.prior
    if quality is None:
        return section("kinds", _TITLE, nothing(_NOTHING))
    return section("kinds", _TITLE, paragraph(_told(quality)), _table(quality))


def _told(quality: PriorQuality) -> str:
    if quality.count == 1:
        text = "The users are of one kind: a prior of several did not foresee users who were held out better."
    else:
        text = (
            f"A user nobody has met is held to be of one of {quality.count} kinds. What is seen of them tells which, "
            "and what they are like within it."
        )
    if quality.leaning is None:
        return f"{text} What users did before their first page says no more about them than that."
    return f"{text} What users did before their first page makes some kinds likelier, and moves what is expected."


def _table(quality: PriorQuality) -> Markup:
    rows = [_row("One kind", quality.one)]
    if quality.count > 1:
        rows.append(_row(f"{quality.count} kinds", quality.kinds))
    if quality.leaning is not None:
        rows.append(_row("With what they did before", quality.leaning))
    return table(
        "What a prior foresees",
        [
            Column("Prior", heads_row=True),
            Column("Log likelihood per page", numeric=True),
            Column("Within the 90 % interval", numeric=True),
        ],
        rows,
        note=f"Of {number(quality.users)} users that it was not learned from. The log likelihood of their rewards is "
        "in nats, higher is better; the last column says of how many the mean reward lay where 90 % should.",
    )


def _row(name: str, foresight: Foresight) -> list[str]:
    return [name, number(foresight.likelihood, 3), percent(foresight.covered, 1)]
