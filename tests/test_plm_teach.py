"""What a shop's tasks teach is measured, survives a kill, and serves without torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honeyguide import artifacts
from honeyguide.errors import InvalidInput
from honeyguide.evaluate.language import read_tasks
from honeyguide.evaluate.report.language import taught_section
from honeyguide.plm.files import CARD
from honeyguide.plm.head_serving import PairTask, TagTask, TextTask, open_task
from honeyguide.plm.heads.scores import ndcg
from honeyguide.plm.teach.examples import TaskExamples, shop_examples
from honeyguide.plm.teach.heads import head_for
from honeyguide.plm.teach.lesson import teach, teach_tasks
from honeyguide.plm.teach.plan import TASKS, TeachPlan
from honeyguide.plm.track import read_figures
from honeyguide.types import Progress, silent
from tests.taught_shop import ALL, taught_shop
from tests.tiny_bert import save_tiny_bert
from tests.tiny_tasks import DIM


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return taught_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_bert(tmp_path_factory.mktemp("bert")))


def examples_of(folder: Path, *tasks: str, until: datetime | None = None) -> tuple[TaskExamples[Any], ...]:
    return shop_examples(tasks, events=folder / "events.parquet", items=folder / "items.parquet", until=until)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tasks": ("moods",)},
        {"tasks": ("stars", "stars")},
        {"way": "magic"},
        {"adversarial": "fgsm"},
        {"steps": 0},
        {"rdrop": -1.0},
        {"label_smoothing": 1.0},
        {"dropout": 1.0},
        {"weight_decay": float("nan")},
        {"synonyms": True},
    ],
    ids=str,
)
def test_a_plan_refuses_what_makes_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        TeachPlan("a", **wrong)


def test_a_plan_knows_every_task_and_learns_pairs_more_gently() -> None:
    plan = TeachPlan("a", tasks=TASKS)
    assert TASKS == ALL
    assert plan.rate(pairs=True) < plan.rate(pairs=False)
    assert replace(plan, learning_rate=0.5).rate(pairs=True) == 0.5
    assert plan.settings() == replace(plan, tasks=(), device="cpu", trackers=()).settings()


def small(checkpoint: str, **facts: Any) -> TeachPlan:
    told: dict[str, Any] = {
        "steps": 12, "look_every": 4, "max_tokens": 16, "batch_tokens": 256, "device": "cpu",
        "precision": "float32", "learning_rate": 3e-3,
    }  # fmt: skip
    return TeachPlan(checkpoint, **{**told, **facts})


class Killed(Exception):
    """What a test throws into a lesson."""


@pytest.mark.slow
def test_a_lesson_is_taught_once_and_a_kill_changes_nothing(
    folder: Path, checkpoint: str, tmp_path: Path
) -> None:
    (found,) = examples_of(folder, "sentiment")
    plan = small(checkpoint, steps=52, look_every=26, noise=True, adversarial="fgm")
    version = teach(tmp_path / "whole", plan, found, scratch=tmp_path / "one")
    steps: list[int] = []
    again = teach(
        tmp_path / "whole", plan, found, scratch=tmp_path / "one", progress=lambda done, _: steps.append(done)
    )
    assert (again, steps) == (version, [])

    def kill(at: int) -> Progress:
        def watch(done: int, total: int) -> None:
            if done == at:
                raise Killed

        return watch

    with pytest.raises(Killed):
        teach(tmp_path / "broken", plan, found, scratch=tmp_path / "two", progress=kill(51))
    assert not artifacts.exists(tmp_path / "broken", "task-sentiment")
    resumed = teach(
        tmp_path / "broken",
        plan,
        found,
        scratch=tmp_path / "two",
        progress=lambda done, _: steps.append(done),
    )
    assert resumed == version
    assert steps[0] == 51
    assert not (tmp_path / "two" / "sentiment" / "checkpoints").exists()
    figures = read_figures(tmp_path / "two" / "sentiment" / "figures" / "figures.jsonl")
    assert [step for step, _ in figures["loss"]] == list(range(1, 53))
    with pytest.raises(Killed):  # another plan is another lesson, which begins
        teach(tmp_path / "whole", replace(plan, rdrop=0.1), found, scratch=tmp_path / "one", progress=kill(1))


def judged(served: Any, found: TaskExamples[Any]) -> dict[str, float]:
    """The figures of a task as it is served, on its test part."""
    part = found.test
    if isinstance(served, TextTask | TagTask):
        return head_for(found, DIM, TeachPlan("a")).score(list(served.predict(part.texts)), part)
    assert isinstance(served, PairTask)
    queries, items = served.queries(part.texts), served.items(part.texts)
    if found.kind == "retrieval":
        return head_for(found, DIM, TeachPlan("a")).score(list(items), part)
    scores = (queries[part.query] * items[part.item]).sum(1).astype(np.float64)
    groups = part.by_query()
    return {"ndcg@10": float(np.mean([ndcg(scores[g], 2.0 ** part.relevance[g], 10) for g in groups]))}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "way"),
    [
        ("category", "full"),
        ("categories", "houlsby"),
        ("brand", "lora"),
        ("sentiment", "adalora"),
        ("stars", "pfeiffer"),
        ("search", "lora"),
        ("relevance", "head"),
    ],
)
def test_what_is_served_without_torch_is_what_was_measured(
    folder: Path, checkpoint: str, tmp_path: Path, task: str, way: str
) -> None:
    plan = small(checkpoint, tasks=(task,), way=way, noise=True, synonyms=True, adversarial="pgd", rdrop=0.5)
    events, items = folder / "events.parquet", folder / "items.parquet"
    versions = teach_tasks(tmp_path, plan, events=events, items=items, scratch=tmp_path / "scratch")
    made = artifacts.load(tmp_path, f"task-{task}")
    assert versions == {task: made.version}
    opened: list[str] = []

    @contextmanager
    def stage(name: str) -> Iterator[Progress]:
        opened.append(name)
        yield silent

    again = teach_tasks(tmp_path, plan, events=events, items=items, scratch=tmp_path / "scratch", stage=stage)
    assert (again, opened) == (versions, [])
    (found,) = examples_of(folder, task)
    told = made.meta["task"]
    served = judged(open_task(made, threads=1), found)
    assert served == pytest.approx({name: told["after"]["test"][name] for name in served}, abs=1e-4)
    assert set(told["before"]["test"]) == set(told["after"]["test"]) == set(told["after"]["validation"])
    card = (made.folder / CARD).read_text()
    for said in (
        found.purpose,
        way,
        f"{told['share']:.2%}",
        told["baseline"],
        f"{told['after']['test'][told['figure']]:.3f}",
    ):
        assert said in card
    assert str(Path(checkpoint).parent) not in card
    (read,) = read_tasks(tmp_path)
    assert (read.name, read.way, read.after) == (task, way, told["after"]["test"][read.figure])
    assert read.curve is not None
    assert read.curve.steps == (4, 8, 12)
    page = taught_section([read])
    for said in (task, read.figure, f"{read.after:.3f}", "step 12"):
        assert said in page


LEARNED: Sequence[tuple[str, float, dict[str, Any]]] = [
    ("category", 0.8, {}),
    ("categories", 0.85, {}),
    ("brand", 0.6, {"steps": 300, "label_smoothing": 0.1}),
    ("sentiment", 0.9, {"noise": True}),
    ("stars", 0.5, {}),
    ("search", 0.8, {"steps": 300, "learning_rate": 1e-3}),
    ("relevance", 0.86, {"steps": 400, "learning_rate": 2e-3}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("task", "least", "facts"), LEARNED, ids=[task for task, *_ in LEARNED])
def test_tasks_are_learned(
    checkpoint: str, tmp_path: Path, task: str, least: float, facts: dict[str, Any]
) -> None:
    """Far beyond who was taught nothing, on examples that were looked at once."""
    shop_of_many = taught_shop(tmp_path / "shop", n=240)
    (found,) = examples_of(shop_of_many, task)
    plan = small(checkpoint, way="full", look_every=50, patience=9, **{"steps": 150, **facts})
    teach(tmp_path, plan, found, scratch=tmp_path / "scratch")
    (read,) = read_tasks(tmp_path)
    assert read.after >= least > read.before, read


def test_nothing_is_taught_where_the_shop_lacks_what_one_task_needs(
    folder: Path, checkpoint: str, tmp_path: Path
) -> None:
    plan = small(checkpoint, tasks=("category", "search"))
    with pytest.raises(InvalidInput, match="'search' cannot be taught"):
        teach_tasks(
            tmp_path,
            plan,
            events=tmp_path / "none",
            items=folder / "items.parquet",
            scratch=tmp_path / "scratch",
        )
    assert not list(tmp_path.iterdir())


def test_what_is_no_task_is_not_opened_as_one(tmp_path: Path) -> None:
    artifacts.save(tmp_path, "encoder", {}, {"dim": 3})
    with pytest.raises(InvalidInput, match="encoder is no task"):
        open_task(artifacts.load(tmp_path, "encoder"))


def test_a_shop_that_was_taught_nothing_says_so(tmp_path: Path) -> None:
    assert read_tasks(tmp_path) == ()
    assert "No task was taught" in taught_section(())
