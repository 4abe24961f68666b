"""The training loop: a kill, a second process and a bad disk change nothing about where it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from honeyguide.errors import InvalidInput
from honeyguide.plm.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from honeyguide.plm.train.devices import Place, find_place
from honeyguide.plm.train.feeds import Batch, Feed
from honeyguide.plm.train.loop import Outcome, train
from honeyguide.plm.train.schedule import Schedule
from honeyguide.plm.train.terms import Term
from tests.gpu import needs_cuda
from tests.ports import free_port

HERE = Place(torch.device("cpu"), torch.float32)


class Line(torch.nn.Module):
    """Fits y = x w with dropout in between, so that a lost generator would show."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(7)
            self.hidden = torch.nn.Linear(6, 8)
            self.out = torch.nn.Linear(8, 1)
        self.drop = torch.nn.Dropout(0.3)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        guess: torch.Tensor = self.out(self.drop(torch.tanh(self.hidden(x))))[:, 0]
        return ((guess - y) ** 2).mean()


class Points:
    """Sixteen points a batch on one plane."""

    def batch(self, number: int) -> Batch:
        x = np.random.default_rng([3, number]).normal(size=(16, 6)).astype(np.float32)
        return {"x": x, "y": x.sum(1)}


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.named_parameters()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def run(module: Line, folder: Path, **options: Any) -> Outcome:
    told: dict[str, Any] = {"steps": 12, "learning_rate": 1e-2, "checkpoint_every": 4, "seed": 5}
    told |= {name: options.pop(name) for name in list(options) if name in Schedule.__dataclass_fields__}
    return train(
        [Term("line", module, Points())], Schedule(**told), place=HERE, folder=folder, key="k", **options
    )


class Killed(Exception):
    """What a test throws into a job."""


def test_it_learns_and_says_what_it_saw(tmp_path: Path) -> None:
    outcome = run(Line(), tmp_path, steps=200)
    losses = [figures["loss"] for _, figures in outcome.history]
    assert np.mean(losses[-20:]) < 0.3 * np.mean(losses[:20])
    assert [step for step, _ in outcome.history] == list(range(1, 201))


@pytest.mark.parametrize("at", [1, 4, 7, 11])
def test_a_killed_job_ends_at_the_weights_of_one_that_never_stopped(tmp_path: Path, at: int) -> None:
    whole = Line()
    outcome = run(whole, tmp_path / "whole")

    def kill(done: int, total: int) -> None:
        if done == at:
            raise Killed

    broken = Line()
    with pytest.raises(Killed):
        run(broken, tmp_path / "broken", progress=kill)
    resumed = Line()
    again = run(resumed, tmp_path / "broken")
    assert same(weights(resumed), weights(whole))
    assert again.history == outcome.history


class Told(Line):
    """Says beside its loss how large its last weights are."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        return {"loss": super().forward(x, y), "size": self.out.weight.abs().sum()}


def test_what_is_told_beside_a_loss_is_heard_after_each_step_and_not_learned_from(tmp_path: Path) -> None:
    plain, told, heard = Line(), Told(), list[float]()

    def heed(figures: Mapping[str, float]) -> None:
        heard.extend(figures[name] for name in figures if name == "size")

    schedule = Schedule(steps=5, learning_rate=0.01, checkpoint_every=50)
    for name, module in (("plain", plain), ("told", told)):
        outcome = train(
            [Term("fit", module, Points())], schedule, place=HERE, folder=tmp_path / name, key="k", heed=heed
        )
    assert same(weights(told), weights(plain))
    assert heard == [figures["size"] for _, figures in outcome.history]
    assert len(heard) == 5


def test_a_job_that_stops_is_where_one_that_goes_on_was(tmp_path: Path) -> None:
    seen: dict[int, dict[str, torch.Tensor]] = {}
    whole, stopped = Line(), Line()

    def watch(done: int, total: int) -> None:
        seen.setdefault(done, weights(whole))

    run(whole, tmp_path / "whole", progress=watch)
    told = []
    outcome = run(
        stopped, tmp_path / "stopped", stop=7, progress=lambda done, total: told.append((done, total))
    )
    assert outcome.steps == 7
    assert told[-1] == (7, 7)
    assert same(weights(stopped), seen[7])
    with pytest.raises(InvalidInput, match=r"stop must lie in 0\.\.12"):
        run(Line(), tmp_path / "wrong", stop=13)


def test_what_a_job_goes_on_from_is_not_written_again(tmp_path: Path) -> None:
    def kill(done: int, total: int) -> None:
        if done in (5, 7):
            raise Killed

    found = []
    for _ in range(2):
        with pytest.raises(Killed):
            run(Line(), tmp_path, progress=kill)
        found.append((tmp_path / "step-00000004").stat().st_ino)
    assert found[0] == found[1]


def test_an_interrupt_loses_no_step(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Line(), tmp_path, progress=interrupt, checkpoint_every=1000)
    found = load_checkpoint(tmp_path, key="k")
    assert found is not None
    assert found.step == 6


def test_an_interrupt_in_the_middle_of_a_look_loses_no_look(tmp_path: Path) -> None:
    schedule = Schedule(steps=12, learning_rate=0.01, eval_every=3, checkpoint_every=100)

    def learn(folder: str, module: Line, *, cut_at: int = -1) -> Outcome:
        looks = iter(range(100))

        def look() -> dict[str, float]:
            if next(looks) == cut_at:
                raise KeyboardInterrupt
            return {"size": float(module.out.weight.abs().sum())}

        term = Term("fit", module, Points())
        return train([term], schedule, place=HERE, folder=tmp_path / folder, key="k", evaluate=look)

    whole, cut = Line(), Line()
    outcome = learn("whole", whole)
    with pytest.raises(KeyboardInterrupt):
        learn("cut", cut, cut_at=1)
    again = learn("cut", cut)
    assert again == outcome
    assert [step for step, figures in again.history if "size" in figures] == [3, 6, 9, 12]
    assert same(weights(cut), weights(whole))


def test_a_spoilt_checkpoint_costs_only_the_steps_since_the_one_before(tmp_path: Path) -> None:
    run(Line(), tmp_path)
    newest = tmp_path / "step-00000012" / "tensors.safetensors"
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.write_bytes(bytes(data))
    found = load_checkpoint(tmp_path, key="k")
    assert found is not None
    assert found.step == 8


def test_a_checkpoint_of_another_job_is_not_gone_on_with(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, Checkpoint(3, {"a": torch.ones(2)}, {}), key="one")
    assert load_checkpoint(tmp_path, key="other") is None
    for step in (4, 5, 6):
        save_checkpoint(tmp_path, Checkpoint(step, {"a": torch.ones(2)}, {}), key="one")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000005", "step-00000006"]


def test_it_ends_when_held_out_data_say_so_and_keeps_the_best_weights(tmp_path: Path) -> None:
    module = Line()
    seen: list[dict[str, torch.Tensor]] = []
    values = iter([3.0, 1.0, 2.0, 2.0, 5.0, 0.0])

    def look() -> dict[str, float]:
        assert not module.training
        seen.append(weights(module))
        return {"held_out": next(values)}

    outcome = run(module, tmp_path, steps=100, eval_every=2, patience=3, evaluate=look)
    assert (outcome.steps, outcome.best_step, outcome.best) == (10, 4, 1.0)
    assert same(weights(module), seen[1])
    resumed = Line()
    assert run(resumed, tmp_path, steps=100, eval_every=2, patience=3, evaluate=look).best_step == 4
    assert same(weights(resumed), seen[1])


def test_two_half_batches_weigh_what_one_batch_weighs(tmp_path: Path) -> None:
    class Halves:
        def batch(self, number: int) -> Batch:
            part = slice(8 * (number % 2), 8 * (number % 2) + 8)
            return {name: column[part] for name, column in Points().batch(number // 2).items()}

    one, two = Line(), Line()
    one.drop.p = two.drop.p = 0.0
    train(
        [Term("l", one, Points())], Schedule(5, learning_rate=1e-2), place=HERE, folder=tmp_path / "a", key=""
    )
    schedule = Schedule(5, learning_rate=1e-2, accumulate=2)
    train([Term("l", two, Halves())], schedule, place=HERE, folder=tmp_path / "b", key="")
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b)


PROCESS = """
import sys, torch
from safetensors.torch import save_file
from pathlib import Path
from honeyguide.plm.train.devices import find_place
from honeyguide.plm.train.loop import train
from honeyguide.plm.train.schedule import Schedule
from honeyguide.plm.train.terms import Term
from tests.test_plm_loop import Line, Points
torch.set_num_threads(1)
module = Line()
place = find_place("cpu", "float32")
schedule = Schedule(6, learning_rate=1e-2, seed=5)
train([Term("line", module, Points())], schedule, place=place, folder=Path(sys.argv[1]), key="")
if place.leads:
    save_file(module.state_dict(), sys.argv[1] + "/out")
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_from_twice_as_many_batches(tmp_path: Path) -> None:
    one = Line()
    schedule = Schedule(6, learning_rate=1e-2, seed=5, accumulate=2)
    train([Term("line", one, Points())], schedule, place=HERE, folder=tmp_path / "one", key="")
    shared = tmp_path / "shared"
    shared.mkdir()
    port = free_port()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(shared)],
            env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                 "MASTER_PORT": port, "LOCAL_RANK": str(rank), "PYTHONPATH": os.getcwd()},
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]  # fmt: skip
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    for name, tensor in load_file(shared / "out").items():
        torch.testing.assert_close(tensor, one.state_dict()[name])


def test_bad_schedules_and_runaway_losses_are_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="at least 1"):
        Schedule(0)
    with pytest.raises(InvalidInput, match="learning_rate"):
        Schedule(1, learning_rate=0.0)
    with pytest.raises(InvalidInput, match="weight of l"):
        Term("l", Line(), Points(), 0.0)
    with pytest.raises(InvalidInput, match="lower learning_rate"):
        run(Line(), tmp_path, learning_rate=1e30, steps=50)
    frozen = Line().requires_grad_(False)
    with pytest.raises(InvalidInput, match="all are frozen"):
        run(frozen, tmp_path)


class Blot:
    """Points of which those of one batch are no numbers."""

    def __init__(self, bad: int) -> None:
        self.bad = bad

    def batch(self, number: int) -> Batch:
        found = Points().batch(number)
        return {**found, "x": np.full_like(found["x"], np.nan)} if number == self.bad else found


class Steep(Line):
    """A line whose loss is finite and whose gradient is not, from the pass `since` on."""

    def __init__(self, since: int) -> None:
        super().__init__()
        self.since, self.passes = since, 0

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        loss = super().forward(x, y)
        return loss + (self.out.bias * 0).square().sum().sqrt() if self.passes > self.since else loss


@pytest.mark.parametrize(
    ("module", "feed", "told"),
    [
        (Line(), Blot(13), "at step 7 the loss of line is nan in batch 13"),
        (
            Steep(12),
            Points(),
            r"at step 7 the gradient of line is not finite in batches 12 to 13, .*line.out.bias",
        ),
    ],
    ids=["loss", "gradient"],
)
def test_a_runaway_step_names_its_batch_and_touches_nothing(
    tmp_path: Path, module: Line, feed: Feed, told: str
) -> None:
    seen: list[dict[str, torch.Tensor]] = []
    schedule = Schedule(12, learning_rate=1e-2, accumulate=2, checkpoint_every=4)
    kept = "The checkpoint of step 4 is the last good one and is kept. Choose a lower learning_rate"
    for _ in range(2):  # whoever starts it again meets the same batch, from the same checkpoint
        with pytest.raises(InvalidInput, match=f"{told}.*{kept}"):
            train(
                [Term("line", module, feed)], schedule, place=HERE, folder=tmp_path, key="",
                progress=lambda done, total: seen.append(weights(module)),
            )  # fmt: skip
        assert same(weights(module), seen[-1])
        if isinstance(module, Steep):
            module.passes = 8  # as many as the steps of the checkpoint took
    assert len(seen) == 6 + 2
    found = load_checkpoint(tmp_path, key="")
    assert found is not None
    assert found.step == 4
    assert same({name.removeprefix("model.terms.line."): t for name, t in found.tensors.items()
                 if name.startswith("model.")}, seen[3])  # fmt: skip


def test_all_objectives_that_ran_away_are_named(tmp_path: Path) -> None:
    terms = [Term("good", Line(), Points()), Term("bad", Line(), Blot(0)), Term("worse", Line(), Blot(0))]
    with pytest.raises(
        InvalidInput, match=r"the loss of bad is nan, worse is nan in batch 0\. No checkpoint"
    ):
        train(terms, Schedule(3), place=HERE, folder=tmp_path, key="")


def test_weights_whose_loss_ran_away_are_no_checkpoint(tmp_path: Path) -> None:
    """Though each step is to be stored, those of the first are not: they gave no finite loss, or are not finite."""
    with pytest.raises(
        InvalidInput, match=r"at step 2 the loss of line is (inf|nan) in batch 1\. No checkpoint"
    ):
        run(Line(), tmp_path, learning_rate=1e30, steps=50, checkpoint_every=1)
    assert load_checkpoint(tmp_path, key="k") is None
    module = Line()

    def overflow(step: int) -> None:
        module.out.bias.data.fill_(torch.inf)

    with pytest.raises(InvalidInput, match=r"the weights are not finite after step 1\. No checkpoint"):
        run(module, tmp_path, steps=1, after_step=overflow)
    assert load_checkpoint(tmp_path, key="k") is None


def test_with_a_lower_rate_it_begins_anew_and_survives_a_kill(tmp_path: Path) -> None:
    """As the jobs of this package do, the key tells the rate; what the old one left behind is not in the way."""

    def attempt(module: Line, rate: float, feed: Feed, folder: Path, **options: Any) -> Outcome:
        schedule = Schedule(12, learning_rate=rate, checkpoint_every=2, seed=5)
        return train(
            [Term("line", module, feed)], schedule, place=HERE, folder=folder, key=str(rate), **options
        )

    with pytest.raises(InvalidInput, match="checkpoint of step 8 is the last good one"):
        attempt(Line(), 1.0, Blot(9), tmp_path / "one")

    left = []
    for at in (4, 6):

        def kill(done: int, total: int, at: int = at) -> None:
            if done == at:
                raise Killed

        with pytest.raises(Killed):
            attempt(Line(), 1e-2, Points(), tmp_path / "one", progress=kill)
        left.append(sorted(int(path.name[-2:]) for path in (tmp_path / "one").iterdir()))
    # those of the other rate go when there are two of its own
    assert left == [[2, 6, 8], [2, 4]]
    resumed, whole = Line(), Line()
    steps: list[int] = []
    attempt(resumed, 1e-2, Points(), tmp_path / "one", progress=lambda done, total: steps.append(done))
    assert steps[0] == 5
    attempt(whole, 1e-2, Points(), tmp_path / "whole")
    assert same(weights(resumed), weights(whole))


def test_a_figure_that_is_no_number_is_never_the_best(tmp_path: Path) -> None:
    values = iter([float("nan"), 2.0, float("nan"), 3.0])
    outcome = run(Line(), tmp_path, steps=8, eval_every=2, evaluate=lambda: {"held_out": next(values)})
    assert (outcome.best_step, outcome.best) == (4, 2.0)


def test_the_rate_warms_up_and_falls_to_a_tenth() -> None:
    schedule = Schedule(100, learning_rate=1.0)
    rates = [schedule.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)


def test_a_place_that_is_not_there_is_told() -> None:
    assert find_place("cpu", "float32") == HERE
    with pytest.raises(InvalidInput, match="is no device"):
        find_place("abacus")
    with pytest.raises(InvalidInput, match="precision"):
        find_place("cpu", "float7")
    if not torch.cuda.is_available():
        with pytest.raises(InvalidInput, match="no CUDA device"):
            find_place("cuda")


@needs_cuda
def test_it_learns_on_a_gpu_in_bfloat16(tmp_path: Path) -> None:
    place = find_place("cuda")
    assert place.dtype == torch.bfloat16
    outcome = train(
        [Term("line", Line(), Points())],
        Schedule(200, learning_rate=1e-2),
        place=place,
        folder=tmp_path,
        key="",
    )
    losses = [figures["loss"] for _, figures in outcome.history]
    assert np.mean(losses[-20:]) < 0.3 * np.mean(losses[:20])


@needs_cuda
def test_a_killed_job_on_a_gpu_in_bfloat16_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    def attempt(name: str, **options: Any) -> Line:
        module = Line()
        schedule = Schedule(12, learning_rate=1e-2, checkpoint_every=4, seed=5)
        place = find_place("cuda", "bfloat16")
        train(
            [Term("line", module, Points())], schedule, place=place, folder=tmp_path / name, key="", **options
        )
        return module

    def kill(done: int, total: int) -> None:
        if done == 7:
            raise Killed

    with pytest.raises(Killed):
        attempt("broken", progress=kill)
    resumed, whole = attempt("broken"), attempt("whole")
    assert next(resumed.parameters()).is_cuda
    for one, other in zip(resumed.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(one, other)
