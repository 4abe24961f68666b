"""`evaluate --what-if`, from the words of a wish to the words of the answer."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from honeyguide import Honeyguide
from honeyguide.cli.app import main
from honeyguide.config import Labels
from honeyguide.errors import InvalidInput, NoSupport
from honeyguide.evaluate.what_if import WhatIf, policy_name, what_if
from honeyguide.explore.baselines import Ranked, Uniform
from honeyguide.explore.decide import Request, decide
from honeyguide.journal.memory import MemoryJournal
from honeyguide.types import Candidates, Decision, Event, Floats, Plan, Policy
from tests.fitted import copy_of, fitted_shop

START = datetime(2026, 6, 1, tzinfo=UTC)
LATER = "2026-08-01"


@pytest.mark.parametrize(
    ("wanted", "name"),
    [("level=0.2", "thompson-0.2"), ("level=1", "thompson-1"), ("level=0", "greedy"), ("policy=x-1", "x-1")],
)
def test_a_wish_names_a_policy(wanted: str, name: str) -> None:
    assert policy_name(wanted) == name


@pytest.mark.parametrize(
    "wanted", ["", "level", "level=", "level=high", "level=-1", "level=nan", "policy=", "x=1"]
)
def test_any_other_wish_is_told_how_to_wish(wanted: str) -> None:
    with pytest.raises(InvalidInput, match="level=NUMBER or policy=NAME"):
        policy_name(wanted)


class _Learns(Uniform):
    """Remembers what it has been taught by the time it is asked."""

    def __init__(self) -> None:
        self.taught: list[str] = []
        self.when_asked: list[int] = []

    def plan(self, candidates: Candidates) -> Plan:
        self.when_asked.append(len(self.taught))
        return super().plan(candidates)

    def update(self, decision: Decision, rewards: Floats) -> None:
        self.taught.append(decision.decision_id)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def a_journal(
    policy: Policy, pages: int = 60, k: int = 3
) -> tuple[MemoryJournal, list[tuple[Decision, Floats]]]:
    """A page a day for one of 12 users; the better its place in feature 1, the oftener an item is clicked."""
    journal, served = MemoryJournal(), []
    rng = np.random.default_rng(0)
    for number in range(pages):
        value = rng.random(6)
        features = np.stack([rng.random(6), value], axis=1).astype(np.float32)
        user = f"user-{number % 12}"
        candidates = Candidates(user, tuple(f"item-{row}" for row in range(6)), features)
        decision = decide(policy, candidates, k=k, request=Request(f"page-{number:03}", day(number)), rng=rng)
        clicked = rng.random(k) < value[decision.chosen]
        journal.append([decision])
        journal.append(
            [
                Event(
                    f"{number}-{slot}",
                    day(number + 0.1),
                    user,
                    "click",
                    item,
                    decision_id=decision.decision_id,
                )
                for slot, item in enumerate(decision.item_ids)
                if clicked[slot]
            ]
        )
        served.append((decision, np.where(clicked, 0.2, 0.0)))
    return journal, served


def asked(policy: Policy, logger: Policy, pages: int = 60, slots: int | None = None) -> WhatIf:
    journal, served = a_journal(logger, pages)
    return what_if("policy=it", policy, served, journal, start=0, labels=Labels(), slots=slots)


def test_what_was_served_is_told_as_it_was_and_a_better_policy_is_told_as_better() -> None:
    logger = Ranked(0, floor=0.7)
    found = asked(Ranked(1, floor=0.3, name="it"), logger, pages=240)
    _, served = a_journal(logger, 240)
    assert found.served.mean == pytest.approx(np.mean([earned.sum() for _, earned in served]))
    assert found.gain.mean == pytest.approx(found.value.mean - found.served.mean)
    assert found.gain.low > 0
    assert (found.policy, found.pages, found.users, found.slots) == ("it", 240, 12, 3)
    assert (found.first_day, found.last_day) == ("2026-06-01", "2027-01-26")
    assert 0.5 < found.measured <= 1


def test_the_top_of_the_page_can_be_asked_about_alone() -> None:
    top = asked(Ranked(1, floor=0.5), Ranked(0, floor=0.7), pages=120, slots=1)
    whole = asked(Ranked(1, floor=0.5), Ranked(0, floor=0.7), pages=120)
    assert (top.slots, whole.slots) == (1, 3)
    assert top.served.mean < whole.served.mean


def test_a_policy_is_asked_with_what_it_could_have_known_by_then() -> None:
    policy = _Learns()
    journal, served = a_journal(Uniform(), 80)
    what_if("policy=it", policy, served, journal, start=0, labels=Labels(window_days=2.0))
    assert policy.when_asked[0] == 0
    assert policy.when_asked == sorted(policy.when_asked)
    assert 0 < policy.when_asked[-1] < len(policy.taught) + 1
    late = _Learns()
    start = journal.locate("page-020") - 1
    what_if("policy=it", late, served[20:], journal, start=start, labels=Labels(window_days=2.0))
    assert min(late.taught) == "page-020"


def test_pages_that_never_show_what_it_would_are_no_answer() -> None:
    with pytest.raises(NoSupport):
        asked(Ranked(1, floor=0.001), Ranked(0, floor=0.001))


@pytest.fixture(scope="module")
def served_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small shop after four weeks of decisions, some of them bought from."""
    shop = copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path_factory.mktemp("what-if"))
    rng = np.random.default_rng(0)
    with Honeyguide.open(shop) as opened:
        for number in range(48):
            now = START + timedelta(hours=14 * number)
            decision = opened.decide(f"user-{number % 24}", k=4, now=now, decision_id=f"d{number}")
            if rng.random() < 0.6:
                opened.feedback(decision.decision_id, decision.item_ids[0], "purchase", now=now)
    return shop


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


def test_a_shop_asks_its_own_journal(served_shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", served_shop, "--what-if", "level=0", "--slots", 2, "--now", LATER]
    code, out, _ = run(capsys, *words)
    assert code == 0
    assert "What if level=0 had decided? From 48 pages served to 24 users, 2026-06-01 to 2026-06-28" in out
    for said in ("as served", "difference", "was shown often enough to count", "first 2 slots"):
        assert said in " ".join(out.split())
    code, out, err = run(capsys, *words, "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["policy"] == "greedy"
    assert found["served"]["low"] <= found["served"]["mean"] <= found["served"]["high"]
    assert found["value"]["low"] <= found["value"]["mean"] <= found["value"]["high"]


def test_what_the_pages_cannot_tell_is_said_with_what_would_help(
    served_shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(
        capsys, "evaluate", served_shop, "--what-if", "policy=uniform", "--now", LATER, "--json"
    )
    problem = json.loads(err)["error"]
    assert (code, out, problem["type"]) == (3, "", "NoSupport")
    for said in ("these pages cannot tell what policy=uniform would have earned", "--slots 1", "floor"):
        assert said in problem["message"]


def test_a_shop_that_has_served_nothing_is_told_how_to_get_a_journal(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)
    code, _, err = run(capsys, "evaluate", shop, "--what-if", "level=0.2")
    assert code == 4
    for said in ("nothing was served yet", "honeyguide feedback", "replay-journal.db"):
        assert said in err
    code, _, err = run(capsys, "evaluate", shop, "--what-if", "level=0.2", "--journal", tmp_path / "none.db")
    assert (code, "none.db is not there" in err) == (4, True)


def test_pages_whose_window_is_open_are_waited_for(
    served_shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, "evaluate", served_shop, "--what-if", "level=0", "--now", "2026-06-02")
    assert (code, "wait until one is" in err) == (4, True)


def test_a_wrong_wish_is_refused(served_shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["--what-if", "tomorrow"], "level=NUMBER"),
        (["--what-if", "policy=foo"], "there is no policy 'foo'"),
        (["--what-if", "level=0", "--policy", "greedy"], "takes no --policy"),
    ):
        code, _, err = run(capsys, "evaluate", served_shop, *words)
        assert (code, said in err) == (3, True)


def test_another_fits_pages_are_left_out(served_shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Read as a journal of its own: none of its pages is of the fit that is asked."""
    journal, served = a_journal(Uniform(), 4)
    assert all(replace(decision).model_version == "0" for decision, _ in served)
    from honeyguide.journal.sqlite import SqliteJournal

    path = served_shop / "other.db"
    other = SqliteJournal(path)
    other.append([decision for decision, _ in served])
    other.close()
    words = ["--what-if", "level=0", "--journal", path, "--now", "2027-01-01"]
    code, _, err = run(capsys, "evaluate", served_shop, *words)
    assert (code, "since the last fit" in err) == (4, True)
    assert journal.end() >= 4
