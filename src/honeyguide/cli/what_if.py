"""`evaluate --what-if`: reads the journal, asks what another policy would have earned, and says it in words."""

from __future__ import annotations

import sys
from collections import deque
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from honeyguide.cli.show import Stages, console, show, table
from honeyguide.errors import NoSupport, NotReady
from honeyguide.evaluate.results import Band
from honeyguide.evaluate.what_if import Served, WhatIf, policy_name, what_if
from honeyguide.export.log import DecisionLog
from honeyguide.journal.open import open_journal
from honeyguide.journal.protocol import Journal
from honeyguide.shop.models import Fitted, load_fitted
from honeyguide.shop.policies import like, make_policy
from honeyguide.shop.split import all_fixed
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Progress

MOST_PAGES = 5000
"""So many of the latest pages are judged: each costs a few milliseconds."""


def run_what_if(
    workspace: Workspace,
    wanted: str,
    *,
    journal: Path | None,
    slots: int | None,
    now: datetime,
    stages: Stages,
) -> WhatIf:
    """What the policy would have earned on the pages of the shop's own journal, or of the one that is named."""
    settings, name = workspace.settings, policy_name(wanted)
    fitted = load_fitted(workspace.models, workspace.items)
    policy = make_policy(
        name, fitted.policy_state, settings.explore, seed=settings.seed, like=like(fitted.items)
    )
    if journal is None and not workspace.may_have_served:
        raise NotReady(f"nothing was served yet. {_get_one(workspace)}")
    if journal is not None and not journal.is_file():
        raise NotReady(f"{journal} is not there. {_get_one(workspace)}")
    opened = open_journal(journal or workspace.store)
    try:
        # the shop's own journal was learned from up to the fit: a policy that begins there knows what came of it
        start = fitted.journal_offset if journal is None else 0
        with stages.stage("Read what was served") as progress:
            served = _served(opened, workspace, fitted, now, start, progress)
        with stages.stage(f"Ask what {name} would have shown") as progress:
            return what_if(
                wanted,
                policy,
                served,
                opened,
                start=start,
                labels=settings.labels,
                slots=slots,
                progress=progress,
            )
    except NoSupport as problem:
        raise NoSupport(
            f"these pages cannot tell what {wanted} would have earned: {problem}. What helps: look at the top of the "
            "page only (--slots 1), ask for a policy nearer to the one that served, serve for longer, or set a "
            "higher [explore] floor for a while"
        ) from None
    finally:
        opened.close()


def _served(
    journal: Journal, workspace: Workspace, fitted: Fitted, now: datetime, start: int, progress: Progress
) -> Served:
    labels = workspace.settings.labels
    window = timedelta(days=labels.window_days)
    log = DecisionLog.read(journal, grade=labels.grade, window=window, now=now, progress=progress)
    if not log.decisions:
        raise NotReady(f"nothing was served yet. {_get_one(workspace)}")
    fresh = (
        (page.decision, page.rewards)
        for page in log.settled(progress)
        if page.decision.model_version == fitted.version
        and journal.locate(page.decision.decision_id) > start
        and not all_fixed(page.decision)
    )
    latest = list(deque(fresh, MOST_PAGES))
    if not latest:
        raise NotReady(
            "no page that a policy chose since the last fit has had its reward window: what an earlier fit served, "
            "the present one has learned from already, and what the shop ranked itself could not have been "
            f"otherwise. {_get_one(workspace)}"
        )
    return latest


def _get_one(workspace: Workspace) -> str:
    replayed = workspace.reports / "replay-journal.db"
    return (
        f"Serve pages and report feedback (honeyguide decide, honeyguide feedback), or ask about a replay: "
        f"honeyguide evaluate {workspace.root}, then add --journal {replayed}"
    )


def show_what_if(found: WhatIf, *, as_json: bool) -> None:
    """What would have happened, with how sure that is."""
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    where = f"{found.pages:,} pages served to {found.users:,} users, {found.first_day} to {found.last_day}"
    show({}, f"What if {found.what_if} had decided? From {where}", as_json=False)
    printed = table("policy", "rewarded per page", "95 % from", "to")
    for name, band in (
        ("as served", found.served),
        (found.what_if, found.value),
        ("difference", found.gain),
    ):
        sign = "+" if name == "difference" else ""
        printed.add_row(name, *(f"{value:{sign}.3f}" for value in (band.mean, band.low, band.high)))
    console.print(printed)
    console.print(f"{_verdict(found.what_if, found.gain)}\n{_basis(found)}", highlight=False, markup=False)


def _verdict(name: str, gain: Band) -> str:
    if gain.low > 0:
        return f"{name} would have earned more: at least {gain.low:.3f} a page."
    if gain.high < 0:
        return f"{name} would have earned less: at least {-gain.high:.3f} a page."
    return f"These pages show no difference between {name} and what was served."


def _basis(found: WhatIf) -> str:
    top = f"the first {found.slots} slots" if found.slots > 1 else "the first slot"
    return (
        f"Of what it would have put into {top}, {found.measured:.0%} was shown often enough to count. For the rest a "
        "model of what items earn was asked; the interval allows for its being wrong by half.\n"
        "Each page is judged by itself: what the policy would have learned from pages of its own is not in this."
    )
