"""What the benchmark beside Vowpal Wabbit asks of it, and how it compares the two."""

from __future__ import annotations

import io
import json
import random
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("vowpalwabbit", reason="the rival's side needs it: pip install vowpalwabbit==9.11.2")

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))
try:
    from bandits_play import Tried
    from bandits_results import Played, least_lead, rows_of, standings
    from bandits_vw import EXPLORERS, Configuration, Learner, near, some_learner, some_settings
    from rivals.vw.pages import Slots, actions_of, drawn, workspace
    from rivals.vw.serve import serve
    from rivals.vw.speed import Timed
finally:
    sys.path.remove(str(BENCHMARKS))

ITEMS = [f"item-{row}" for row in range(6)]
FEATURES = np.random.default_rng(0).uniform(-1, 1, (6, 3)).astype(np.float32)
LEARNER = Learner(rate=0.1, items=True)


def page(name: str, *, learn: list[Any] | None = None, k: int = 3) -> tuple[dict[str, Any], bytes]:
    request = {"do": "page", "learn": learn or [], "id": name, "user": "ann", "items": ITEMS, "k": k}
    return request, FEATURES.tobytes()


def answers(configuration: Configuration, *requests: tuple[dict[str, Any], bytes]) -> list[dict[str, Any]]:
    source = io.BytesIO(
        b"".join(
            json.dumps({**said, "floats": len(numbers) // 4}).encode() + b"\n" + numbers
            for said, numbers in requests
        )
    )
    target = io.BytesIO()
    settings = {
        "arguments": configuration.arguments,
        "conditional": configuration.explorer == "ccb",
        "plain": configuration.learner.plain,
    }
    serve(settings, source, target)
    return [json.loads(line) for line in target.getvalue().splitlines()]


@pytest.mark.parametrize("explorer", EXPLORERS)
def test_every_explorer_draws_and_learns_pages(explorer: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(3):
        chosen = Configuration(explorer, some_settings(explorer, rng), some_learner(rng))
        logged = {
            "do": "logged",
            "user": "bob",
            "items": ITEMS,
            "chosen": [4, 0],
            "chances": [0.2, 0.5],
            "rewards": [1.0, 0.0],
        }
        told = answers(
            chosen,
            (logged, FEATURES.tobytes()),
            ({"do": "warm"}, b""),
            ({"do": "season", "seed": 3}, b""),
            page("a"),
            page("b", learn=[("a", [1.0, 0.0, 0.0])], k=6),
            ({"do": "season", "seed": 3}, b""),
            page("a"),
        )
        first, second, again = told[2], told[3], told[5]
        assert first == again
        assert len(set(first["chosen"])) == 3
        assert sorted(second["chosen"]) == list(range(6))
        assert all(0 < chance <= 1 + 1e-6 for chance in [*first["chances"], *second["chances"]])


def test_a_season_begins_with_what_the_log_taught() -> None:
    liked = {"do": "logged", "user": "bob", "items": ITEMS, "chosen": [4], "chances": [0.2], "rewards": [1.0]}
    season = ({"do": "season", "seed": 0}, b"")
    greedy = Configuration("greedy", "--epsilon 0", LEARNER)
    teach = [(liked, FEATURES.tobytes())] * 5
    told = answers(greedy, *teach, ({"do": "warm"}, b""), season, page("a", k=1), season, page("a", k=1))
    assert [told[at]["chosen"] for at in (2, 4)] == [[4], [4]]


def test_a_slot_is_learned_among_what_was_left_for_it() -> None:
    """Labels set on parsed examples teach what the same labels in text do."""
    arguments = Configuration("bag", "--bag 3", LEARNER).arguments
    ours, text = workspace(f"{arguments} --random_seed 1"), workspace(f"{arguments} --random_seed 1")
    slots, lines = Slots(ours, plain=False), actions_of(ITEMS, FEATURES.tolist())
    chosen, chances, rewards = [4, 1, 5], [0.3, 0.5, 0.25], [1.0, 0.0, 1.0]
    slots.learn(slots.logged("ann", lines, chosen, chances), rewards)
    left = list(range(6))
    for row, chance, reward in zip(chosen, chances, rewards, strict=True):
        told = [f"0:{-reward}:{chance} {lines[at]}" if at == row else lines[at] for at in left]
        text.learn(["shared |u ann", *told])
        left.remove(row)
    asked = ["shared |u ann", *lines]
    assert ours.predict(asked) == pytest.approx(text.predict(asked))


def test_places_are_drawn_as_often_as_the_pmf_says() -> None:
    rng = random.Random(0)
    counts = np.bincount([drawn([0.2, 0.0, 0.5, 0.3], rng) for _ in range(4000)], minlength=4)
    np.testing.assert_allclose(counts / 4000, [0.2, 0.0, 0.5, 0.3], atol=0.03)


def test_a_learner_near_another_differs_in_two_settings_at_most() -> None:
    rng = np.random.default_rng(0)
    found = [near(LEARNER, rng) for _ in range(50)]
    differing = [
        sum(asdict(each)[name] != value for name, value in asdict(LEARNER).items()) for each in found
    ]
    assert max(differing) == 2
    assert len(set(found)) > 10


def test_what_vw_cannot_learn_by_is_not_asked_of_it() -> None:
    asked = Configuration("squarecb", "--squarecb", Learner(cb_type="dr", users=False)).arguments
    assert "--cb_type mtr" in asked
    assert "--ignore u" in asked
    assert "-q uf" not in asked
    assert Configuration("ccb", "", Learner(cb_type="dr")).arguments.startswith("--ccb_explore_adf -q uf")


def played(**pages: list[list[float]]) -> Played:
    """Runs by policy, where what begins with vw is VW's."""
    tried = {
        name: Tried(Configuration("bag", "--bag 5", LEARNER), (1.0,)) for name in pages if name[:2] == "vw"
    }
    runs = {name: [np.array(run) for run in each] for name, each in pages.items()}
    return Played("world", runs, dict.fromkeys(pages, 1.0), tried, list(tried.values()))


def test_ours_stands_against_what_earned_most_of_vws() -> None:
    found = played(
        ours=[[3.0, 3.0], [5.0, 5.0]], vw_a=[[2.0, 2.0], [4.0, 4.0]], vw_b=[[2.0, 2.0], [3.0, 3.0]]
    )
    assert found.best == "vw_a"
    first, second, third = standings(found)
    assert (first.policy, first.of_best, first.low, first.high) == ("ours", 8 / 6, 8 / 6, 8 / 6)
    assert (second.policy, second.of_best) == ("vw_a", 1.0)
    assert third.arguments.startswith("--cb_explore_adf --bag 5")
    row = rows_of(found, cold=False)[0]
    assert (row.value, row.rival_value, row.goal, row.met) == (8.0, 6.0, 1.10, True)


def test_a_curve_must_lie_above_from_the_hundredth_page_on() -> None:
    ours, theirs = np.full(300, 1.0).cumsum(), np.full(300, 0.8).cumsum()
    ours[:99] = 0.0
    assert least_lead(ours, theirs) == pytest.approx(1.25)
    pages = [[1.0] * 300]
    late = played(ours=[[0.0] * 150 + [2.0] * 150], vw=pages)
    assert rows_of(late, cold=True)[0].met is False
    assert rows_of(played(ours=pages, vw=pages), cold=True)[0].met is True


def test_what_is_timed_of_vw_leaves_its_parsed_pages_as_they_are() -> None:
    timed = Timed(5, 3, 2, 0)
    before = timed.greedy_parsed(0, 1).chances
    timed.bag_text(0, 5)
    for nth in range(4):
        assert sorted(timed.greedy_parsed(nth, 5).chosen) == list(range(5))
    assert sorted(timed.bag_text(1, 5).chosen) == list(range(5))
    assert timed.greedy_parsed(0, 1).chances[0] in (before[0], pytest.approx(0.02 / 5), pytest.approx(0.984))
