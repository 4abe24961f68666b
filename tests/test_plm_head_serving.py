"""What serves a task without torch says what torch says: heads, words and adapters of every kind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from honeyguide import artifacts
from honeyguide.errors import InvalidInput
from honeyguide.plm.adapters.bank import Adapters
from honeyguide.plm.adapters.bottleneck import Bottleneck
from honeyguide.plm.adapters.lowrank import AdaLora, Lora
from honeyguide.plm.adapters.way import Full, HeadOnly, Way
from honeyguide.plm.encoder import OnnxEncoder
from honeyguide.plm.export import checked_graph, export_encoder, quiet
from honeyguide.plm.head_serving import LabelHead, PairTask, TagTask, TextTask
from honeyguide.plm.heads.head import Reader
from honeyguide.plm.heads.labels import Classification, MultiLabel, Regression
from honeyguide.plm.heads.pairs import Ranking, Retrieval
from honeyguide.plm.task import export_task
from honeyguide.plm.tuned import Tuned
from tests.tiny_bert import WORDS, save_tiny_bert
from tests.tiny_families import learn, tiny
from tests.tiny_tasks import DIM, teach, texts

WAYS: list[Way] = [
    Full(),
    HeadOnly(),
    Lora(4),
    AdaLora(3, 5),
    Bottleneck("houlsby", 8),
    Bottleneck("pfeiffer", 8),
]
AWKWARD = ["", "  ", "\U0001f355 pizza", "milk " * 40, "half \ud800 wine", "red\twine\n milk", "," * 3]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of one layer, exported in half the time: enough where it is about what is on top."""
    return save_tiny_bert(tmp_path_factory.mktemp("flat"), layers=1)


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
    told, wanted = serving.predict(some), np.stack(tuned.predict(some))
    assert serving.head.labels == ("food", "drink")
    np.testing.assert_allclose(told, wanted, atol=1e-5)
    assert np.ptp(told[:, 1]) > 0.3
    assert serving.predict(AWKWARD).shape == (len(AWKWARD), 2)
    assert serving.predict([]).shape == (0, 2)
    if way.name != "head":  # the adapter counts: without it something else is said
        tuned.adapters.use(None)
        base = Tuned(tuned.backbone, Adapters(tuned.backbone.model), "none", tuned.head, tuned.feeding)
        assert abs(np.stack(base.predict(some)) - wanted).max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("way", [Lora(4), AdaLora(3, 5)], ids=lambda way: way.name)
def test_a_merged_model_is_a_plain_checkpoint_that_exports_and_serves(
    checkpoint: Path, tmp_path: Path, way: Way
) -> None:
    tuned = moved(checkpoint, tmp_path / "job", "classification", way)
    some = [*texts(40, 7), *WORDS]
    before = np.stack(tuned.predict(some))
    tuned.merge()
    np.testing.assert_allclose(np.stack(tuned.predict(some)), before, atol=1e-5)
    with pytest.raises(InvalidInput, match="was merged"):
        tuned.save(tmp_path / "task")
    tuned.backbone.save(tmp_path / "merged")
    export_encoder(tmp_path, str(tmp_path / "merged"), max_tokens=12)
    encoder = OnnxEncoder.load(artifacts.load(tmp_path, "encoder"), threads=1)
    on_vectors = LabelHead.of(tuned.head.about(), tuned.head.arrays())
    np.testing.assert_allclose(on_vectors.predict(encoder.encode(some)), before, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "way"),
    [
        ("MPNet", Bottleneck("pfeiffer", 6)),
        ("Llama", Bottleneck("houlsby", 6)),
        ("Llama", Bottleneck("pfeiffer", 6)),
    ],
    ids=["MPNet", "Llama-houlsby", "Llama-pfeiffer"],
)
def test_models_of_other_families_export_with_their_adapters(family: str, way: Way) -> None:
    """`checked_graph` itself refuses a graph that says something else than torch."""
    model = tiny(family, num_hidden_layers=1)  # exported in half the time
    learn(Adapters(model).add("task", way))
    with quiet():
        model.set_attn_implementation("eager")
        module, output = Retrieval().graph(Reader(model, "mean"))
    assert checked_graph(module.eval(), output)


@pytest.mark.slow
def test_tags_are_served_word_for_word(flat: Path, tmp_path: Path) -> None:
    tuned = moved(flat, tmp_path / "job", "tags", Bottleneck("houlsby", 8))
    export_task(tmp_path, tuned, name="drink")
    serving = TagTask.load(served(tmp_path), threads=1, batch_size=4)
    some = [*texts(40, 7), "red,wine frozen-pizza", "milk " * 40]
    assert serving.labels == ("other", "drink")
    for told, wanted in zip(serving.predict(some), tuned.predict(some), strict=True):
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
def test_the_other_heads_are_served_as_they_were_taught(flat: Path, tmp_path: Path, kind: str) -> None:
    tuned = moved(flat, tmp_path / "job", kind, HeadOnly() if kind == "ranking" else Lora(4))
    export_task(tmp_path, tuned, name="drink")
    some = list(texts(20, 7))
    told = np.stack(tuned.predict(some))
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
