"""What crosses to the rivals and back is well formed; what needs their environments is skipped where they are not."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honeyguide.errors import InvalidFile

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))
try:
    from rivals.call import NoRival, RivalFailed, environment, flags, prepare, run
    from rivals.exchange import (
        NOTHING,
        Answer,
        Events,
        Histories,
        Malformed,
        read_answer,
        read_events,
        read_targets,
        write_answer,
        write_events,
        write_targets,
    )
    from rivals.progress import Progress
    from rivals.ranking import Ranking
    from rivals.task import read_task
finally:
    sys.path.remove(str(BENCHMARKS))

# user 3 has 5 then 7; user 9 has 5, 5, 1
EVENTS = Events(
    np.array([3, 3, 9, 9, 9]), np.array([5, 7, 5, 5, 1]), np.array([0, 1, 0, 1, 2], dtype=np.int64)
)


def test_events_come_back_in_the_users_own_order(tmp_path: Path) -> None:
    shuffled = np.array([4, 1, 0, 3, 2])
    write_events(
        tmp_path / "train.parquet",
        Events(EVENTS.users[shuffled], EVENTS.items[shuffled], EVENTS.positions[shuffled]),
    )
    back = read_events(tmp_path / "train.parquet")
    assert back.users.tolist() == [3, 3, 9, 9, 9]
    assert back.items.tolist() == [5, 7, 5, 5, 1]


def test_histories_are_the_events_cut_by_user() -> None:
    histories = EVENTS.histories()
    assert [items.tolist() for items in histories] == [[5, 7], [5, 5, 1]]
    assert [items.tolist() for items in histories.of(np.array([9, 4, 3]))] == [[5, 7], [], [5, 5, 1]]
    again = histories.events()
    assert (again.users.tolist(), again.positions.tolist()) == ([3, 3, 9, 9, 9], [0, 1, 0, 1, 2])


def test_an_answer_comes_back_in_the_order_asked(tmp_path: Path) -> None:
    answer = Answer(
        np.array([3, 9]),
        np.array([[7, 2], [1, NOTHING]]),
        np.array([[0.9, 0.5], [0.1, -np.inf]], dtype=np.float32),
    )
    write_answer(tmp_path / "top.parquet", answer)
    back = read_answer(tmp_path / "top.parquet", np.array([9, 4, 3]), k=3)
    none = NOTHING
    assert back.items.tolist() == [[1, none, none], [none, none, none], [7, 2, none]]
    assert back.scores[2, :2].tolist() == pytest.approx([0.9, 0.5])


@pytest.mark.parametrize(
    ("items", "scores", "k", "asked"),
    [
        ([[7, 7]], [[2.0, 1.0]], 2, [3]),
        ([[7, 2]], [[1.0, 2.0]], 2, [3]),
        ([[7, 2]], [[2.0, np.nan]], 2, [3]),
        ([[7, 2]], [[2.0, 1.0]], 1, [3]),
        ([[NOTHING, 2]], [[2.0, 1.0]], 2, [3]),
        ([[7, 2]], [[2.0, 1.0]], 2, [4]),
        ([[7, 2]], [[2.0, 1.0]], 2, []),
    ],
    ids=["an item twice", "worse first", "not a number", "too many", "no first", "a stranger", "none asked"],
)
def test_an_answer_that_is_not_as_agreed_is_refused(
    tmp_path: Path, items: list[list[int]], scores: list[list[float]], k: int, asked: list[int]
) -> None:
    answer = Answer(np.array([3]), np.array(items), np.array(scores, dtype=np.float32))
    write_answer(tmp_path / "top.parquet", answer)
    with pytest.raises(Malformed, match=r"top\.parquet"):
        read_answer(tmp_path / "top.parquet", np.array(asked, dtype=np.int64), k)


def test_only_one_item_is_held_out_of_a_user(tmp_path: Path) -> None:
    write_targets(tmp_path / "valid.parquet", np.array([3, 3]), np.array([1, 2]))
    with pytest.raises(Malformed, match="twice"):
        read_targets(tmp_path / "valid.parquet")


def two_users() -> Ranking:
    """Scores of user 0: 1 2 3 4 0; of user 1: 4 3 2 1 0; user 0 had item 3, user 1 nothing; item 4 has no vector."""
    users = np.array([[1, 0], [0, 1]], dtype=np.float32)
    items = np.array([[1, 4], [2, 3], [3, 2], [4, 1]], dtype=np.float32)
    histories = Histories(np.array([10, 20]), np.array([0, 1, 1]), np.array([3]))
    return Ranking.of_known(users, items, np.arange(4), histories, n_items=5)


def test_the_best_items_are_the_best_unseen_ones_that_are_known() -> None:
    answer = two_users().best(5)
    assert answer.items.tolist() == [[2, 1, 0, NOTHING, NOTHING], [0, 1, 2, 3, NOTHING]]
    assert answer.scores[0, :3].tolist() == [3, 2, 1]
    assert two_users().best(1, keep_seen=True).items.tolist() == [[3], [0]]


def test_ndcg_by_hand() -> None:
    # user 0's target is second, user 1's is first
    assert two_users().ndcg(np.array([1, 0])) == pytest.approx((1 / np.log2(3) + 1) / 2)
    # the one was seen, the other has no vector
    assert two_users().ndcg(np.array([3, 4])) == 0.0
    assert two_users().ndcg(np.array([1, 2]), at=1) == 0.0


def test_equal_scores_count_against_the_target() -> None:
    users, items = np.ones((1, 1), np.float32), np.ones((3, 1), np.float32)
    nothing = Histories(np.array([0]), np.array([0, 0]), np.empty(0, np.int64))
    ranking = Ranking(users, items, nothing, np.empty(0, np.int64))
    assert ranking.ndcg(np.array([0])) == pytest.approx(1 / np.log2(4))


def trained(figures: list[float], **limits: float | None) -> Progress:
    """Epochs of 10 sequences and 2 seconds, each followed by a validation of 5 seconds, until it is enough."""
    now = [0.0]

    def validate() -> float:
        now[0] += 5
        return figures[len(progress.curve)]

    told = {"epochs": None, "seconds": None, "patience": None} | limits
    progress = Progress(**told, validate=validate, clock=lambda: now[0])  # type: ignore[arg-type]
    while not progress.enough():
        progress.begin()
        now[0] += 2
        progress.batch(0.5, 10)
        progress.end()
    return progress


def test_validation_is_not_counted_as_training() -> None:
    progress = trained([0.1, 0.2, 0.3], epochs=3)
    assert (progress.trained_seconds, progress.valid_seconds, progress.rate()) == (6, 15, 5)
    assert [point.seconds for point in progress.curve] == [2, 4, 6]


def test_training_stops_without_a_better_epoch_or_when_the_time_is_up() -> None:
    patient = trained([0.1, 0.3, 0.2, 0.3, 0.9], patience=2)
    assert (len(patient.curve), patient.best_epoch) == (4, 2)
    assert len(trained([0.1, 0.2, 0.3, 0.4], seconds=5).curve) == 3


def test_options_become_flags() -> None:
    options = {"keep_seen": True, "valid": None, "epochs": 3, "set": {"K": 20, "similarity": "bm25"}}
    assert flags(options) == ["--keep-seen", "--epochs", "3", "--set", "K=20", "--set", 'similarity="bm25"']


def test_a_task_is_read_as_it_was_prepared(tmp_path: Path) -> None:
    later = Events(np.array([9, 9]), np.array([7, 8]), np.array([0, 1]))
    vectors = np.eye(9, dtype=np.float32)
    held_out = np.array([3, 77]), np.array([1, 1])
    asked = np.array([3, 9])
    prepare(tmp_path, EVENTS, asked, new_histories=later, held_out=held_out, vectors=vectors)
    paths = [f"--{n}={tmp_path / f'{n}.parquet'}" for n in ("train", "ask", "valid")]
    more = [f"--new-histories={tmp_path / 'new_histories.parquet'}", f"--vectors={tmp_path / 'vectors.npy'}"]
    rest = ["--out", str(tmp_path / "out"), "--model", "a", "--set", "K=20", "--set", "kind=bm25"]
    task, out = read_task(("a",), None, [*paths, *more, *rest])
    assert task.options.device == "cpu"
    on_gpu, _ = read_task(("a",), None, [*paths, *more, *rest, "--device", "cuda"])
    assert on_gpu.options.device == "cuda"
    assert out == tmp_path / "out"
    assert [items.tolist() for items in task.train] == [[5, 7], [5, 5, 1]]
    assert [items.tolist() for items in task.asked] == [[5, 7], [7, 8]]
    assert task.n_items == 9
    assert task.options.further == {"K": 20, "kind": "bm25"}
    assert task.options.epochs == 3
    assert task.validation is not None
    assert task.validation.histories.users.tolist() == [3]


def test_a_missing_environment_names_what_builds_it(tmp_path: Path) -> None:
    with pytest.raises(NoRival, match="make bench-setup"):
        run("nobody", "popular", tmp_path, environments=tmp_path)


def stub(tmp_path: Path, script: str) -> Path:
    """A folder of environments, in which the one of `stub` runs a shell script as its Python."""
    python = tmp_path / "envs" / "stub" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    prepare(tmp_path / "work", EVENTS, np.array([3, 9]))
    return tmp_path / "envs"


def test_a_rival_that_fails_is_quoted(tmp_path: Path) -> None:
    envs = stub(tmp_path, "echo no such model >&2; exit 3")
    with pytest.raises(RivalFailed, match=r"rivals\.stub\.rank ended with 3[^$]*no such model"):
        run("stub", "a", tmp_path / "work", environments=envs)


def test_a_rival_that_hangs_is_stopped(tmp_path: Path) -> None:
    envs = stub(tmp_path, "exec sleep 20")
    with pytest.raises(RivalFailed, match="longer than"):
        run("stub", "a", tmp_path / "work", environments=envs, timeout=0.2)


def test_a_rival_without_an_answer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"top\.parquet"):
        run("stub", "a", tmp_path / "work", environments=stub(tmp_path, "exit 0"))


def test_a_rival_sees_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "src")
    monkeypatch.setenv("VIRTUAL_ENV", ".venv")
    seen = environment(1)
    assert not {"PYTHONPATH", "VIRTUAL_ENV"} & set(seen)
    assert seen["OMP_NUM_THREADS"] == "1"


def test_an_answer_and_what_is_told_of_it_come_back(tmp_path: Path) -> None:
    answer = Answer(np.array([9]), np.array([[2]]), np.array([[0.5]], dtype=np.float32))
    write_answer(tmp_path / "given.parquet", answer)
    told = {"seconds_fit": 1.5, "sequences_per_second": 20.0}
    (tmp_path / "given.json").write_text(json.dumps(told))
    out = tmp_path / "work" / "stub-a"
    script = f"cp {tmp_path}/given.parquet {out}/top.parquet; cp {tmp_path}/given.json {out}/run.json"
    ran = run("stub", "a", tmp_path / "work", environments=stub(tmp_path, script), k=2)
    assert ran.answer.items.tolist() == [[NOTHING, NOTHING], [2, NOTHING]]
    assert (ran.seconds, ran.sequences_per_second) == (1.5, 20.0)


@pytest.mark.slow
def test_popularity_is_what_one_counts(tmp_path: Path) -> None:
    # item 5: three events, item 1: two, item 7: one
    events = Events(np.array([0, 0, 1, 1, 2, 2]), np.array([5, 1, 5, 1, 5, 7]), np.array([0, 1, 0, 1, 0, 1]))
    prepare(tmp_path, events, np.array([0, 2]))
    try:
        ran = run("rectools", "popular", tmp_path, k=2, threads=1)
    except NoRival as error:
        pytest.skip(str(error))
    assert ran.answer.items.tolist() == [[7, NOTHING], [1, NOTHING]]


LEARNERS: dict[str, dict[str, Any]] = {
    "rectools sasrec": {"epochs": 30},
    "rectools esasrec": {"epochs": 30, "loss": "sampled", "negatives": 8},
    "rectools bert4rec": {"epochs": 60},
    "rectools unisrec": {"epochs": 30, "set": {"use_adaptor_ffn": False}},
    "recbole sasrec": {"epochs": 10},
    "recbole unisrec": {"epochs": 10},
    "rectools als": {"set": {"factors": 4}},
    "rectools ease": {"set": {"regularization": 10}},
    "rectools itemknn": {"set": {"similarity": "tfidf", "K": 10}},
}


@pytest.mark.slow
@pytest.mark.parametrize("rival", LEARNERS)
def test_what_follows_always_is_learned(tmp_path: Path, rival: str) -> None:
    # everybody goes round a ring of 20 items, six steps from anywhere; the seventh step is asked for
    first = np.arange(220) % 20
    steps = (first[:, None] + np.arange(6)) % 20
    users, seventh = np.arange(220), (first + 6) % 20
    histories = Histories(users, np.append(users, 220) * 6, steps.ravel())
    # the last 20 are strangers: nothing was learned from them
    known, strangers = histories.of(users[:200]).events(), histories.of(users[200:]).events()
    vectors = np.random.default_rng(0).standard_normal((20, 16)).astype(np.float32)
    held_out = users[:200], seventh[:200]
    prepare(tmp_path, known, users, new_histories=strangers, held_out=held_out, vectors=vectors)
    settings = {"width": 16, "batch": 32, "length": 8, "dropout": 0.1, "lr": 0.01} | LEARNERS[rival]
    name, model = rival.split()
    try:
        ran = run(name, model, tmp_path, k=3, threads=1, timeout=60, **settings)
    except NoRival as error:
        pytest.skip(str(error))
    assert not (ran.answer.items[:, :, None] == steps[:, None]).any()
    # without an order, the step before the first is as good as the one after the last
    best = ran.answer.items[:, : 1 if ran.told["curve"] else 2]
    assert (best == seventh[:, None]).any(axis=1).mean() > 0.9
    assert (best == seventh[:, None]).any(axis=1)[200:].mean() > 0.9
    assert len(ran.told["curve"]) == settings.get("epochs", 0)
    assert all(ndcg is not None for *_, ndcg in ran.told["curve"])
