"""Fine-tuning: every head and every way learns, a kill costs nothing, what was learned is stored and served alike."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from honeyguide import artifacts
from honeyguide.errors import DamagedArtifact, InvalidInput
from honeyguide.plm.adapters.bank import Adapters
from honeyguide.plm.adapters.bottleneck import Bottleneck
from honeyguide.plm.adapters.lowrank import AdaLora, Lora
from honeyguide.plm.adapters.sites import linears
from honeyguide.plm.adapters.way import Full, HeadOnly, Way
from honeyguide.plm.backbone import Backbone, open_backbone
from honeyguide.plm.encoder import OnnxEncoder
from honeyguide.plm.export import export_encoder
from honeyguide.plm.finetune import FineTuned, Split, Tuning, finetune
from honeyguide.plm.head_serving import LabelHead, PairTask, TagTask, TextTask
from honeyguide.plm.heads.head import Feeding, Head
from honeyguide.plm.heads.labels import Classification, Labelled, MultiLabel, Regression
from honeyguide.plm.heads.pairs import Judged, Pairs, Ranking, Retrieval
from honeyguide.plm.heads.tags import Tagged, TokenClassification
from honeyguide.plm.rdrop import RDrop
from honeyguide.plm.task import export_task
from honeyguide.plm.train.devices import Place, find_place
from honeyguide.plm.train.loop import Schedule
from honeyguide.plm.tuned import Tuned, open_tuned
from tests.tiny_bert import WORDS, save_tiny_bert

HERE = Place(torch.device("cpu"), torch.float32)
DIM = 32
WAYS: list[Way] = [
    Full(),
    HeadOnly(),
    Lora(4),
    AdaLora(3, 5),
    Bottleneck("houlsby", 8),
    Bottleneck("pfeiffer", 8),
]
DRINKS = {"wine", "milk"}
AWKWARD = ["", "  ", "\U0001f355 pizza", "milk " * 40, "half \ud800 wine", "red\twine\n milk", "," * 3]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_bert(tmp_path_factory.mktemp("bert"))


def opened(checkpoint: Path) -> Backbone:
    return open_backbone(str(checkpoint), "encoder")


def texts(n: int, seed: int) -> tuple[str, ...]:
    rng = np.random.default_rng(seed)
    return tuple(" ".join(rng.choice(WORDS, rng.integers(1, 6))) for _ in range(n))


def task(kind: str, n: int, seed: int) -> Any:
    """Examples in which words decide, so that there is something to learn."""
    found = texts(n, seed)
    drinks = np.array([len(DRINKS & set(text.split())) for text in found])
    if kind == "classification":
        return Labelled(found, np.minimum(drinks, 1))
    if kind == "multi-label":
        dry = np.array(["dry" in text.split() for text in found])
        return Labelled(found, np.stack([drinks > 0, dry], 1).astype(np.int64))
    if kind == "regression":
        return Labelled(found, (10.0 + 5 * drinks)[:, None])
    if kind == "tags":
        return Tagged(found, tuple(tuple(int(word in DRINKS) for word in text.split()) for text in found))
    rng = np.random.default_rng(seed)
    distinct = tuple(dict.fromkeys([*WORDS, *found]))
    if kind == "retrieval":
        first = rng.integers(0, len(WORDS), n)
        return Pairs(distinct, first, (first + 1) % len(WORDS))
    row_of = {text: row for row, text in enumerate(distinct)}
    query, item = [], []
    for word in rng.choice(WORDS, n):
        held = [row_of[text] for text in found if word in text.split()]
        query += [row_of[str(word)]] * 4
        item += [*rng.choice(held, 2), *rng.choice([row_of[t] for t in found if word not in t.split()], 2)]
    relevance = [3.0 if word in distinct[row].split() else 1.0 for word, row in zip(
        (distinct[row] for row in query), item, strict=True)]  # fmt: skip
    return Judged(distinct, np.array(query), np.array(item), np.array(relevance))


def head(kind: str, examples: Any) -> Head[Any]:
    if kind == "classification":
        return Classification(["food", "drink"], DIM, dropout=0.1, label_smoothing=0.05)
    if kind == "multi-label":
        weights = MultiLabel.balancing(examples.targets)
        return MultiLabel(["drink", "dry"], DIM, positive_weights=weights)
    if kind == "regression":
        return Regression.of(["price"], DIM, examples.targets)
    if kind == "tags":
        return TokenClassification(["other", "drink"], DIM)
    return Ranking(DIM) if kind == "ranking" else Retrieval(temperature=0.1)


def teach(checkpoint: Path, folder: Path, kind: str, way: Way, **options: Any) -> FineTuned[Any]:
    told: dict[str, Any] = {"steps": 30, "learning_rate": 3e-3, "eval_every": 10, "seed": 2}
    told |= {name: options.pop(name) for name in list(options) if name in Schedule.__dataclass_fields__}
    backbone = options.pop("backbone", None) or opened(checkpoint)
    examples = Split(task(kind, 120, 0), task(kind, 60, 1))
    feeding = Feeding.of(backbone, max_tokens=12, batch_tokens=256, seed=2)
    return finetune(
        backbone, head(kind, examples.train), examples, way, Schedule(**told), place=HERE, folder=folder,
        feeding=feeding, **options,
    )  # fmt: skip


def says(tuned: Tuned[Any], some: list[str]) -> list[Any]:
    return tuned.predict(some)


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
    assert same(says(again.tuned, list(WORDS)), says(whole.tuned, list(WORDS)))


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
    alone = says(first.tuned, list(WORDS))
    second = teach(
        checkpoint, tmp_path / "b", "tags", Bottleneck("pfeiffer", 4), steps=10, backbone=backbone, adapters=bank,
        name="tags",
    )  # fmt: skip
    assert bank.names == ("drink", "tags")
    told = says(second.tuned, list(WORDS))
    assert same(says(first.tuned, list(WORDS)), alone)
    assert same(says(second.tuned, list(WORDS)), told)
    other = teach(checkpoint, tmp_path / "c", "tags", Bottleneck("pfeiffer", 4), steps=10, name="tags")
    assert same(says(other.tuned, list(WORDS)), told)
    with pytest.raises(InvalidInput, match="those of this backbone"):
        teach(checkpoint, tmp_path / "d", "tags", Lora(), adapters=bank, name="x")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_stored_task_says_the_same_on_a_fresh_base(checkpoint: Path, tmp_path: Path, way: Way) -> None:
    found = teach(checkpoint, tmp_path / "job", "classification", way, steps=10)
    found.tuned.save(tmp_path / "task")
    again = open_tuned(opened(checkpoint), tmp_path / "task")
    assert same(says(again, list(WORDS)), says(found.tuned, list(WORDS)))
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


def served(root: Path) -> artifacts.Artifact:
    return artifacts.load(root, "drink")


def moved(checkpoint: Path, folder: Path, kind: str, way: Way) -> Tuned[Any]:
    """A task whose parameters are far from where they began, so that what is left out of a graph shows."""
    tuned = teach(checkpoint, folder, kind, way, steps=10).tuned
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for parameter in tuned.adapters.placed("task").own.values():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        for parameter in tuned.head.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return tuned


@pytest.mark.slow
@pytest.mark.parametrize("way", [HeadOnly(), *WAYS[2:]], ids=lambda way: way.name)
def test_a_task_serves_what_torch_says_adapter_and_all(checkpoint: Path, tmp_path: Path, way: Way) -> None:
    tuned = moved(checkpoint, tmp_path / "job", "classification", way)
    version = export_task(tmp_path, tuned, name="drink")
    assert export_task(tmp_path, tuned, name="drink") == version
    serving = TextTask.load(served(tmp_path), threads=1)
    some = [*texts(40, 7), *WORDS]
    told, wanted = serving.predict(some), np.stack(says(tuned, some))
    assert serving.head.labels == ("food", "drink")
    np.testing.assert_allclose(told, wanted, atol=1e-5)
    assert np.ptp(told[:, 1]) > 0.3
    assert serving.predict(AWKWARD).shape == (len(AWKWARD), 2)
    assert serving.predict([]).shape == (0, 2)
    if way.name != "head":  # the adapter counts: without it something else is said
        tuned.adapters.use(None)
        base = Tuned(tuned.backbone, Adapters(tuned.backbone.model), "none", tuned.head, tuned.feeding)
        assert abs(np.stack(says(base, some)) - wanted).max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("way", [Lora(4), AdaLora(3, 5)], ids=lambda way: way.name)
def test_a_merged_model_is_a_plain_checkpoint_that_exports_and_serves(
    checkpoint: Path, tmp_path: Path, way: Way
) -> None:
    tuned = moved(checkpoint, tmp_path / "job", "classification", way)
    some = [*texts(40, 7), *WORDS]
    before = np.stack(says(tuned, some))
    tuned.merge()
    np.testing.assert_allclose(np.stack(says(tuned, some)), before, atol=1e-5)
    with pytest.raises(InvalidInput, match="was merged"):
        tuned.save(tmp_path / "task")
    tuned.backbone.save(tmp_path / "merged")
    export_encoder(tmp_path, str(tmp_path / "merged"), max_tokens=12)
    encoder = OnnxEncoder.load(artifacts.load(tmp_path, "encoder"), threads=1)
    on_vectors = LabelHead.of(tuned.head.about(), tuned.head.arrays())
    np.testing.assert_allclose(on_vectors.predict(encoder.encode(some)), before, atol=1e-5)


@pytest.mark.slow
def test_tags_are_served_word_for_word(checkpoint: Path, tmp_path: Path) -> None:
    tuned = moved(checkpoint, tmp_path / "job", "tags", Bottleneck("houlsby", 8))
    export_task(tmp_path, tuned, name="drink")
    serving = TagTask.load(served(tmp_path), threads=1, batch_size=4)
    some = [*texts(40, 7), "red,wine frozen-pizza", "milk " * 40]
    assert serving.labels == ("other", "drink")
    for told, wanted in zip(serving.predict(some), says(tuned, some), strict=True):
        np.testing.assert_allclose(told, wanted, atol=1e-5)
    lengths = [len(rows) for rows in serving.predict(AWKWARD)]
    assert lengths == [len(text.split()) for text in AWKWARD]
    with pytest.raises(InvalidInput, match="bare string"):
        serving.predict("milk")
    for other in (TextTask, PairTask):
        with pytest.raises(InvalidInput, match="open it as what it is"):
            other.load(served(tmp_path), threads=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["regression", "ranking", "retrieval"])
def test_the_other_heads_are_served_as_they_were_taught(checkpoint: Path, tmp_path: Path, kind: str) -> None:
    tuned = moved(checkpoint, tmp_path / "job", kind, HeadOnly() if kind == "ranking" else Lora(4))
    export_task(tmp_path, tuned, name="drink")
    some = list(texts(20, 7))
    told = np.stack(says(tuned, some))
    if kind == "regression":
        np.testing.assert_allclose(TextTask.load(served(tmp_path), threads=1).predict(some), told, rtol=1e-4)
        return
    pairs = PairTask.load(served(tmp_path), threads=1)
    np.testing.assert_allclose(pairs.items(some), told, atol=1e-5)
    scores = pairs.queries(some) @ pairs.items(some).T
    vectors = torch.from_numpy(told)
    if isinstance(tuned.head, Ranking):
        with torch.no_grad():
            wanted = torch.stack([tuned.head.scores(q.expand(20, -1), vectors) for q in vectors]).numpy()
    else:
        wanted = (vectors @ vectors.T).numpy() / 0.1
    np.testing.assert_allclose(scores, wanted, atol=1e-3)
    with pytest.raises(InvalidInput, match="open it as what it is"):
        TextTask.load(served(tmp_path), threads=1)


def test_the_numpy_head_says_what_the_torch_head_says() -> None:
    vectors = torch.nn.functional.normalize(
        torch.randn(50, DIM, generator=torch.Generator().manual_seed(1)), dim=1
    )
    for made in (
        Classification(["a", "b", "c"], DIM),
        MultiLabel(["x", "y"], DIM),
        Regression(["p"], DIM, mean=[7.0], spread=[3.0]),
    ):
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.normal_(0, 4, generator=torch.Generator().manual_seed(2))
            wanted = made.said(made.out(vectors * DIM**0.5)).numpy()
        np.testing.assert_allclose(
            LabelHead.of(made.about(), made.arrays()).predict(vectors.numpy()), wanted, atol=1e-4
        )
    with np.errstate(all="raise"):
        far = LabelHead.of(
            made.about() | {"kind": "multi-label"}, {**made.arrays(), "out.bias": np.array([-1e4], "f")}
        )
        assert far.predict(vectors.numpy()).max() == 0.0


def test_what_serves_a_task_loads_no_training_library() -> None:
    code = (
        "import sys, honeyguide.plm.head_serving\n"
        "print(sorted({'torch', 'transformers', 'peft', 'onnx'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


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

    found = teach(
        checkpoint, tmp_path, "classification", Lora(4), steps=4, eval_every=0, around=around,
        noisy=Noisy,
    )  # fmt: skip
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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_it_learns_on_a_gpu(checkpoint: Path, tmp_path: Path, way: Way) -> None:
    examples = Split(task("classification", 120, 0), task("classification", 60, 1))
    found = finetune(
        opened(checkpoint), head("classification", examples.train), examples, way,
        Schedule(150, learning_rate=1e-2, eval_every=50), place=find_place("cuda"), folder=tmp_path,
    )  # fmt: skip
    assert found.validation["accuracy"] > 0.75
