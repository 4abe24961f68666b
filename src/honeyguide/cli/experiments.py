"""`honeyguide experiment` and `honeyguide apprentice`: who is served what, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from honeyguide.cli.options import AsJson, Now, Shop, moment
from honeyguide.errors import NotReady

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from honeyguide.evaluate.apprentice import ApprenticeReport, Stretch
    from honeyguide.evaluate.experiment import ArmResult, ExperimentReport
    from honeyguide.export.log import Page
    from honeyguide.shop.split import Split
    from honeyguide.shop.workspace import Workspace
    from honeyguide.types import Decision


def experiment(shop: Shop, now: Now = None, json: AsJson = False) -> None:
    """Compare the policies of an experiment.

    Users are shared out among the arms of [experiment]. Their rewards are compared to the first arm's, and the
    interval holds however often it is looked at: end the experiment when it is clear.
    """
    from honeyguide.cli.show import show
    from honeyguide.shop.arms import Arms
    from honeyguide.shop.models import load_fitted
    from honeyguide.shop.split import all_fixed, experiment_split, made_under
    from honeyguide.shop.workspace import Workspace

    workspace = Workspace.at(shop)
    settings = workspace.settings
    split = experiment_split(settings)
    if split is None:
        raise NotReady(
            "there is no experiment: in honeyguide.toml under [experiment] set a name, and policies with their "
            'shares of the users, such as arms = ["tradeoff=0.8", "greedy=0.2"]'
        )
    state = load_fitted(workspace.models, workspace.items).policy_state
    Arms.made(split, state, settings.explore, seed=settings.seed)  # refuses a policy that nobody knows

    def counts(decision: Decision) -> bool:
        return made_under(decision, split) and not all_fixed(decision)

    found = _judged(workspace, split, moment(now), counts)
    if json:
        show(_built(found), "", as_json=True)
    else:
        _print_experiment(found, f"Experiment {split.label}")


def apprentice(shop: Shop, now: Now = None, json: AsJson = False) -> None:
    """Compare the learned policy with the shop's own ranking.

    Of pages that came with a ranking: how far the learned page is the same, what either earns, and since when the
    learned one would have done as well. Where [apprentice] share lets some users have the learned page, both are
    compared on the users' rewards, as in an experiment.
    """
    from honeyguide.cli.show import show
    from honeyguide.evaluate.apprentice import compare
    from honeyguide.shop.split import all_fixed, apprentice_split, made_under
    from honeyguide.shop.workspace import Workspace

    workspace = Workspace.at(shop)
    split, at = apprentice_split(workspace.settings), moment(now)
    found = compare(
        (page.decision, page.rewards)
        for page in _pages(workspace, at)
        if page.settled and all_fixed(page.decision)
    )
    served = None
    if 0 < workspace.settings.apprentice.share < 1:
        served = _judged(workspace, split, at, lambda decision: made_under(decision, split))
    if found.whole is None and (served is None or not served.first_day):
        raise NotReady(
            "no page with a ranking of the shop's own has its reward window behind it: give one with "
            f"shop.decide(user, ranking=[...]), and wait {workspace.settings.labels.window_days:g} days "
            "([labels] window_days), or name a later time with --now"
        )
    if json:
        show({**_built(found), "served": None if served is None else _built(served)}, "", as_json=True)
        return
    if found.whole is not None:
        _print_apprentice(found, found.whole, served=served is not None)
    if served is not None:
        _print_experiment(served, f"Served to users by their share: {split.label}")


def _pages(workspace: Workspace, now: datetime) -> Iterator[Page]:
    from datetime import timedelta

    from honeyguide.export.log import DecisionLog

    if not workspace.may_have_served:
        raise NotReady("nothing was served yet: decide pages, and tell what came of them with feedback")
    labels = workspace.settings.labels
    journal = workspace.open_journal()
    try:
        window = timedelta(days=labels.window_days)
        yield from DecisionLog.read(journal, grade=labels.grade, window=window, now=now).pages()
    finally:
        journal.close()


def _judged(
    workspace: Workspace, split: Split, now: datetime, counts: Callable[[Decision], bool]
) -> ExperimentReport:
    from datetime import timedelta

    from honeyguide.evaluate.experiment import judge

    settings = workspace.settings
    return judge(
        split,
        ((page.decision, page.rewards) for page in _pages(workspace, now) if counts(page.decision)),
        now=now,
        window=timedelta(days=settings.labels.window_days),
        days=settings.experiment.days,
        most=settings.experiment.most,
    )


def _built(found: ExperimentReport | ApprenticeReport) -> dict[str, object]:
    import msgspec

    built: dict[str, object] = msgspec.to_builtins(found)
    return built


def _print_experiment(found: ExperimentReport, title: str) -> None:
    from honeyguide.cli.show import console, show, table

    show({}, f"{title}, since {found.first_day}" if found.first_day else title, as_json=False)
    printed = table("policy", "users", "judged", "pages", "per user", "per page", "difference", "from", "to")
    for arm in found.arms:
        band = arm.difference
        against = ("-",) * 3 if band is None else tuple(f"{v:+.3f}" for v in (band.mean, band.low, band.high))
        earned = (_number(arm.per_user), _number(arm.per_decision))
        printed.add_row(arm.arm, f"{arm.users:,}", f"{arm.judged:,}", f"{arm.decisions:,}", *earned, *against)
    console.print(printed)
    lines = [_verdict(arm, found) for arm in found.arms[1:]]
    lines.append(
        f"A user is judged by what the pages of their first {found.days:g} days earned, up to {found.most:g} "
        f"({found.capped:.0%} of them earn that), once it is known. The intervals hold together with 95 %, and as "
        "often as they are looked at."
    )
    if found.uneven:
        lines.append("Beware: the arms do not have their shares of the users. Are pages of one of them lost?")
    console.print("\n".join(lines), highlight=False, markup=False)


def _verdict(arm: ArmResult, found: ExperimentReport) -> str:
    first, band = found.arms[0].arm, arm.difference
    if arm.verdict == "better" and band is not None:
        return f"{arm.arm} is better than {first}: by {band.low:.3f} a user at the least."
    if arm.verdict == "worse" and band is not None:
        return f"{arm.arm} is worse than {first}: by {-band.high:.3f} a user at the least."
    said = f"{arm.arm} is not yet told from {first}"
    if arm.more_users is not None:
        return f"{said}: about {arm.more_users:,} more users would do, if the difference stays as it looks."
    if band is None:
        return f"{said}: nobody is judged yet."
    return f"{said}: so little lies between them that a hundred times the users might not tell."


def _print_apprentice(found: ApprenticeReport, whole: Stretch, *, served: bool) -> None:
    from honeyguide.cli.show import console, show, table

    where = f"{whole.pages:,} pages that the shop ranked for {whole.users:,} users"
    show({}, f"{where}, {whole.first_day} to {whole.last_day}", as_json=False)
    printed = table("from", "to", "pages", "first slot", "overlap", "earned", "on both", "learned page")
    parts = found.stretches if len(found.stretches) > 1 else ()
    for one in (*parts, whole):
        alike, earned = (one.top, one.overlap), (one.earned, one.on_both, one.expected)
        printed.add_row(
            one.first_day,
            one.last_day,
            f"{one.pages:,}",
            *(f"{share:.0%}" for share in alike),
            *map(_number, earned),
        )
    console.print(printed)
    console.print("\n".join(_matched(found, whole, served=served)), highlight=False, markup=False)


def _matched(found: ApprenticeReport, whole: Stretch, *, served: bool) -> list[str]:
    kept = whole.on_both / whole.earned if whole.earned else 0.0
    if found.matched_since is not None:
        since = f"From {found.matched_since} on the learned page is expected to earn what the shop's did."
    else:
        since = "The learned page is not yet expected to earn what the shop's did."
    serve_it = "" if served else " To know, serve it to some of the users: [apprentice] share = 0.05."
    return [
        f"The learned page has the shop's first item on {whole.top:.0%} of the pages. What both show earned "
        f"{kept:.0%} of the shop's reward: the least it would have kept, if items earn the same in other company.",
        since,
        "What only it shows was not served on these pages: there the model alone speaks, calibrated by what came of "
        f"the items on both.{serve_it}",
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
