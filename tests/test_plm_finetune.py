"""Fine-tuning: every head and every way learns, a kill costs nothing, and what was learned is stored."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from honeyguide.errors import DamagedArtifact, InvalidInput
from honeyguide.plm.adapters.bank import Adapters
from honeyguide.plm.adapters.bottleneck import Bottleneck
from honeyguide.plm.adapters.lowrank import AdaLora, Lora
from honeyguide.plm.adapters.sites import linears
from honeyguide.plm.adapters.way import Full, HeadOnly, Way
from honeyguide.plm.backbone import Backbone
from honeyguide.plm.finetune import Regime, Split, Tuning, finetune
from honeyguide.plm.heads.labels import Classification, Labelled
from honeyguide.plm.rdrop import RDrop
from honeyguide.plm.train.devices import Place, find_place
from honeyguide.plm.train.schedule import Schedule
from honeyguide.plm.tuned import open_tuned
from tests.gpu import needs_cuda
from tests.tiny_bert import WORDS, save_tiny_bert
from tests.tiny_tasks import DIM, HERE, head, opened, task, teach

WAYS: list[Way] = [
    Full(),
    HeadOnly(),
    Lora(4),
    AdaLora(3, 5),
    Bottleneck("houlsby", 8),
    Bottleneck("pfeiffer", 8),
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_bert(tmp_path_factory.mktemp("bert"))


def same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


KINDS = ["classification", "multi-label", "regression", "tags", "ranking", "retrieval"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_head_learns_its_task(checkpoint: Path, tmp_path: Path, kind: str) -> None:
    """Far beyond what it scores untaught, on examples it has not seen."""
    before = teach(checkpoint, tmp_path / "a", kind, Full(), steps=1, learning_rate=1e-9).validation
    rate = 1e-3 if kind in ("ranking", "retrieval") else 3e-3
    found = teach(checkpoint, tmp_path / "b", kind, Full(), steps=200, eval_every=50, learning_rate=rate)
    name = next(iter(found.validation))
    assert found.validation[name] > before[name] + 0.3 * (1 - before[name]), (before, found.validation)
    assert found.tuned.score(task(kind, 60, 1)) == pytest.approx(dict(found.validation))


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_every_way_of_training_learns_and_changes_only_what_it_may(
    checkpoint: Path, tmp_path: Path, way: Way
) -> None:
    backbone = opened(checkpoint)
    before = {name: p.clone() for name, p in backbone.model.named_parameters()}
    rate = 3e-2 if way.name == "head" else 1e-2
    found = teach(
        checkpoint,
        tmp_path,
        "classification",
        way,
        steps=200,
        learning_rate=rate,
        patience=99,
        backbone=backbone,
    )
    losses = [figures["loss"] for _, figures in found.outcome.history]
    assert np.mean(losses[-20:]) < 0.95 * np.mean(losses[:5])
    most_common = 1 - task("classification", 60, 1).targets.mean()
    assert found.validation["accuracy"] > most_common
    changed = [
        name
        for name, p in backbone.model.named_parameters()
        if (origin := before.get(name.replace(".base_layer.", "."))) is not None
        and not torch.equal(p, origin)
    ]
    assert bool(changed) == (way.name == "full")
    extra = found.total - sum(p.numel() for name, p in before.items() if not name.startswith("pooler"))
    top = sum(p.numel() for p in found.tuned.head.parameters())
    own = sum(p.numel() for p in found.tuned.adapters.placed("task").own.values())
    assert found.trained == own + top
    assert extra == top + (0 if way.name in ("full", "head") else own + _ranks(backbone, way))
    assert found.share == found.trained / found.total


def _ranks(backbone: Backbone, way: Way) -> int:
    """AdaLoRA keeps one number for each linear map that is never learned."""
    return (
        sum("ranknum" in name for name, _ in backbone.model.named_parameters())
        if way.name == "adalora"
        else 0
    )


class Killed(Exception):
    """What a test throws into a job."""


@pytest.mark.parametrize(
    ("way", "at"),
    [
        pytest.param(Bottleneck("pfeiffer", 8), 7, id="pfeiffer"),
        pytest.param(AdaLora(3, 5), 7, id="judging", marks=pytest.mark.slow),
        pytest.param(AdaLora(3, 5), 12, id="settling"),
        pytest.param(AdaLora(3, 5), 24, id="settled", marks=pytest.mark.slow),
    ],
)
def test_a_killed_job_ends_where_one_that_never_stopped_ends(
    checkpoint: Path, tmp_path: Path, way: Way, at: int
) -> None:
    """Also where ranks are being judged, settled or kept: what the allocator knows is in the checkpoint."""
    whole = teach(checkpoint, tmp_path / "whole", "classification", way, checkpoint_every=5)

    def kill(done: int, total: int) -> None:
        if done == at:
            raise Killed

    with pytest.raises(Killed):
        teach(checkpoint, tmp_path / "broken", "classification", way, checkpoint_every=5, progress=kill)
    again = teach(checkpoint, tmp_path / "broken", "classification", way, checkpoint_every=5)
    assert again.outcome.history == whole.outcome.history
    assert same(again.tuned.predict(list(WORDS)), whole.tuned.predict(list(WORDS)))


def test_another_task_does_not_go_on_from_this_ones_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    def resumed(**options: Any) -> bool:
        done: list[int] = []
        teach(
            checkpoint, tmp_path, "classification", Lora(4), **{"steps": 3, **options},
            progress=lambda step, total: done.append(step),
        )  # fmt: skip
        return done == [options.get("steps", 3)]

    assert not resumed()
    assert resumed()
    assert not resumed(seed=3)
    assert not resumed(learning_rate=1e-3)


def test_it_ends_early_and_keeps_the_weights_that_score_best(checkpoint: Path, tmp_path: Path) -> None:
    found = teach(
        checkpoint, tmp_path, "regression", Full(), steps=400, eval_every=5, patience=2, learning_rate=1e-2
    )
    looks = [figures["R squared"] for _, figures in found.outcome.history if "error" in figures]
    assert found.outcome.steps < 400
    assert found.validation["R squared"] == max(looks) > min(looks)
    assert looks.index(max(looks)) == len(looks) - 3
    assert found.tuned.score(task("regression", 60, 1)) == pytest.approx(dict(found.validation))


def test_adalora_ends_within_its_budget(checkpoint: Path, tmp_path: Path) -> None:
    backbone = opened(checkpoint)
    examples: Split[Labelled] = Split(task("classification", 60, 0))
    made = Classification(["food", "drink"], DIM)
    found = finetune(backbone, made, examples, AdaLora(2, 4), Schedule(20), place=HERE, folder=tmp_path)
    own = found.tuned.adapters.placed("task").own
    alive = sum(int((p != 0).sum()) for name, p in own.items() if name.endswith("lora_E"))
    assert alive == 2 * len(linears(backbone.model))


def test_two_tasks_share_one_base_and_each_says_what_it_said_alone(checkpoint: Path, tmp_path: Path) -> None:
    backbone = opened(checkpoint)
    bank = Adapters(backbone.model.base_model)
    first = teach(
        checkpoint,
        tmp_path / "a",
        "classification",
        Lora(4),
        steps=10,
        backbone=backbone,
        adapters=bank,
        name="drink",
    )
    alone = first.tuned.predict(list(WORDS))
    second = teach(
        checkpoint, tmp_path / "b", "tags", Bottleneck("pfeiffer", 4), steps=10, backbone=backbone, adapters=bank,
        name="tags",
    )  # fmt: skip
    assert bank.names == ("drink", "tags")
    told = second.tuned.predict(list(WORDS))
    assert same(first.tuned.predict(list(WORDS)), alone)
    assert same(second.tuned.predict(list(WORDS)), told)
    other = teach(checkpoint, tmp_path / "c", "tags", Bottleneck("pfeiffer", 4), steps=10, name="tags")
    assert same(other.tuned.predict(list(WORDS)), told)
    with pytest.raises(InvalidInput, match="those of this backbone"):
        teach(checkpoint, tmp_path / "d", "tags", Lora(), adapters=bank, name="x")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_stored_task_says_the_same_on_a_fresh_base(checkpoint: Path, tmp_path: Path, way: Way) -> None:
    found = teach(checkpoint, tmp_path / "job", "classification", way, steps=10)
    found.tuned.save(tmp_path / "task")
    again = open_tuned(opened(checkpoint), tmp_path / "task")
    assert same(again.predict(list(WORDS)), found.tuned.predict(list(WORDS)))
    assert not [
        path.name for path in (tmp_path / "task").rglob("*") if path.suffix in (".bin", ".pt", ".pkl")
    ]
    stored = tmp_path / "task" / "head.safetensors"
    data = bytearray(stored.read_bytes())
    data[-1] ^= 1
    stored.write_bytes(bytes(data))
    with pytest.raises(DamagedArtifact, match="not what was written"):
        open_tuned(opened(checkpoint), tmp_path / "task")
    (tmp_path / "task" / "task.json").unlink()
    with pytest.raises(DamagedArtifact, match="no task"):
        open_tuned(opened(checkpoint), tmp_path / "task")


def test_the_objective_can_be_wrapped_and_its_batches_changed(checkpoint: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    class Noisy:
        def __init__(self, feed: Any) -> None:
            self._feed = feed

        def batch(self, number: int) -> Mapping[str, Any]:
            seen.append(number)
            return self._feed.batch(number)  # type: ignore[no-any-return]

    def around(module: Tuning) -> RDrop:
        return RDrop(module, module.head.out, alpha=0.5)  # type: ignore[arg-type]

    regime = Regime(around=around, noisy=Noisy)  # type: ignore[arg-type]
    found = teach(checkpoint, tmp_path, "classification", Lora(4), steps=4, eval_every=0, regime=regime)
    assert seen == [0, 1, 2, 3]
    assert found.validation["accuracy"] > 0


def test_without_validation_the_last_weights_are_kept(checkpoint: Path, tmp_path: Path) -> None:
    backbone = opened(checkpoint)
    examples: Split[Labelled] = Split(task("classification", 60, 0))
    found = finetune(
        backbone,
        Classification(["food", "drink"], DIM),
        examples,
        Full(),
        Schedule(3),
        place=HERE,
        folder=tmp_path,
    )
    assert found.validation == {}
    assert found.outcome.best is None
    assert not found.tuned.backbone.model.training
    with pytest.raises(InvalidInput, match="bare string"):
        found.tuned.predict("milk")


@pytest.mark.parametrize("kind", KINDS)
def test_every_head_can_be_taught_in_bfloat16(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The loss agrees with that of float32 as far as eight bits go."""
    losses = []
    for dtype in (torch.float32, torch.bfloat16):
        monkeypatch.setattr("tests.tiny_tasks.HERE", Place(torch.device("cpu"), dtype))
        found = teach(
            checkpoint, tmp_path / str(dtype), kind, Bottleneck("pfeiffer", 4), steps=2, eval_every=0
        )
        losses.append([figures["loss"] for _, figures in found.outcome.history])
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.05)


@needs_cuda
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_it_learns_on_a_gpu(checkpoint: Path, tmp_path: Path, way: Way) -> None:
    """As on a processor: the loss falls; some ways need more steps than a test has to beat the most common answer."""
    examples = Split(task("classification", 120, 0), task("classification", 60, 1))
    rate = 3e-2 if way.name == "head" else 1e-2
    found = finetune(
        opened(checkpoint), head("classification", examples.train), examples, way,
        Schedule(200, learning_rate=rate, eval_every=50, patience=99), place=find_place("cuda"), folder=tmp_path,
    )  # fmt: skip
    losses = [figures["loss"] for _, figures in found.outcome.history]
    assert np.mean(losses[-20:]) < 0.95 * np.mean(losses[:5])
