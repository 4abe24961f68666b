"""`honeyguide fit` with a language model that is distilled, made smaller, or served as a table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honeyguide import artifacts
from honeyguide.artifacts import write_atomically
from honeyguide.config import FILE_NAME, Adapt, Compress, Distil, Plm, Teach, Training
from honeyguide.data.catalog import Catalog
from honeyguide.data.table import load_events
from honeyguide.errors import InvalidInput
from honeyguide.fit.language import Reading, language_stages
from honeyguide.plm.compact import Cuts
from honeyguide.plm.files import CARD, COMPACT, LANGUAGE_MODEL, STUDENT
from honeyguide.plm.head_serving import TextTask, open_task
from honeyguide.plm.serving import open_encoder
from honeyguide.plm.static import StaticEncoder
from honeyguide.plm.teach.plan import TeachPlan
from honeyguide.shop.workspace import Workspace, settings_toml
from honeyguide.types import Progress, quietly
from tests.fitted import copy_of, fitted_shop
from tests.taught_shop import taught_shop
from tests.tiny_bert import save_tiny_bert

LOOSE = 0.95


def reading(base: Path, target: Path, **stages: Any) -> Reading:
    """The small shop, its language model treated as `stages` say."""
    workspace = Workspace.at(copy_of(fitted_shop(base), target))
    settings = replace(workspace.settings, training=Training(precision="float32"), **stages)
    write_atomically(workspace.root / FILE_NAME, settings_toml(settings).encode())
    catalog = Catalog.read(workspace.items)
    return Reading(
        Workspace.at(workspace.root), catalog, load_events(workspace.events, catalog), None, quietly
    )


@pytest.fixture
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp()


def plm(base: Path, **changed: Any) -> Plm:
    return replace(Workspace.at(fitted_shop(base)).settings.plm, tolerance=LOOSE, **changed)


class Opened:
    """Remembers which stages were opened and how far they came."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.steps: dict[str, int] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        self.names.append(name)

        def progress(done: int, total: int) -> None:
            self.steps[name] = self.steps.get(name, 0) + 1

        yield progress


def test_as_the_settings_come_nothing_is_taught_or_taken_out(base: Path, tmp_path: Path) -> None:
    given = reading(base, tmp_path)
    before = artifacts.current(given.models, "encoder")
    vectors = language_stages(given)
    assert artifacts.current(given.models, "encoder") == before
    assert not artifacts.exists(given.models, STUDENT)
    assert not artifacts.exists(given.models, COMPACT)
    encoder = open_encoder(artifacts.load(given.models, "encoder"))
    np.testing.assert_allclose(vectors, encoder.encode(given.catalog.texts), atol=1e-5)


@pytest.mark.slow
def test_a_student_is_distilled_once_and_serves(base: Path, tmp_path: Path) -> None:
    distil = Distil(layers=1, steps=6, batch_tokens=128, held_out=0.2, look_every=3)
    given = reading(base, tmp_path, plm=plm(base), distil=distil)
    language_stages(given)
    student = artifacts.load(given.models, STUDENT)
    assert "1 layers" in (student.folder / CARD).read_text()
    assert "recall@10" in artifacts.load(given.models, "encoder").meta["parity"]
    opened = Opened()
    language_stages(replace(given, stage=opened.stage))
    assert artifacts.versions(given.models, STUDENT) == [student.version]
    assert "Distil the language model" not in opened.steps  # opened, and through at once


@pytest.mark.slow
def test_what_is_not_needed_is_taken_out(base: Path, tmp_path: Path) -> None:
    from honeyguide.plm.backbone import open_backbone
    from honeyguide.plm.compress.magnitude import matrices
    from honeyguide.plm.compress.two_four import follows_two_four

    cuts = Compress(vocabulary=True, heads=0.25, two_of_four=True)
    given = reading(base, tmp_path, plm=plm(base), compress=cuts)
    vectors = language_stages(given)
    made = artifacts.load(given.models, COMPACT)
    card = (made.folder / CARD).read_text()
    for part in (
        "tokens kept",
        "25% of the heads",
        "50% of the weights set to 0, two of every four",
    ):
        assert part in card
    encoder = open_encoder(artifacts.load(given.models, "encoder"))
    np.testing.assert_allclose(vectors, encoder.encode(given.catalog.texts), atol=1e-5)
    backbone = open_backbone(str(made.folder), "encoder")
    assert all(follows_two_four(module.weight) for module in matrices(backbone.model).values())


@pytest.mark.slow
def test_a_table_of_words_serves_where_the_settings_say_so(base: Path, tmp_path: Path) -> None:
    given = reading(base, tmp_path, plm=plm(base, form="static", dim=16))
    vectors = language_stages(given)
    encoder = open_encoder(artifacts.load(given.models, "encoder"))
    assert isinstance(encoder, StaticEncoder)
    assert vectors.shape == (len(given.catalog), 16)
    np.testing.assert_allclose(vectors, encoder.encode(given.catalog.texts), atol=1e-5)


def test_without_behaviour_nobody_can_say_which_heads_matter(base: Path, tmp_path: Path) -> None:
    given = reading(base, tmp_path, plm=plm(base), compress=Compress(heads=0.25))
    nobody = load_events(given.workspace.events, given.catalog, until=datetime(2000, 1, 1, tzinfo=UTC))
    with pytest.raises(InvalidInput, match=r"\[compress\] heads"):
        language_stages(replace(given, table=nobody))


@pytest.mark.slow
def test_a_causal_model_reads_on_in_a_fit_and_serves(base: Path, tmp_path: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    checkpoint = save_tiny_bert(tmp_path / "causal")
    config = LlamaConfig(
        vocab_size=json.loads((checkpoint / "config.json").read_text())["vocab_size"], hidden_size=32,
        intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=64,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(checkpoint)
    adapt = Adapt(steps=6, causal=1.0, masked=0.0, neighbours=0.0, batch_tokens=128, look_every=3)
    given = reading(base, tmp_path, plm=plm(base, model=str(checkpoint)), adapt=adapt)
    vectors = language_stages(given)
    made = artifacts.load(given.models, LANGUAGE_MODEL)
    assert made.meta["after"] < made.meta["before"]
    assert "reading on" in (made.folder / CARD).read_text()
    assert vectors.shape == (len(given.catalog), 32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.slow
def test_tasks_and_a_projection_are_learned_in_a_fit(base: Path, tmp_path: Path) -> None:
    settings = replace(
        Workspace.at(fitted_shop(base)).settings,
        training=Training(precision="float32"),
        teach=Teach(tasks=("sentiment",), way="head", steps=4, look_every=2, batch_tokens=128),
        adapt=Adapt(projection=4),
    )
    workspace = Workspace.create(tmp_path / "shop", settings)
    (workspace.data / "clean").mkdir()
    taught_shop(workspace.data / "clean")
    catalog = Catalog.read(workspace.items)
    given = Reading(workspace, catalog, load_events(workspace.events, catalog), None, quietly)
    language_stages(given)
    encoder = artifacts.load(given.models, "encoder")
    assert "held-out items" in encoder.meta["projection"]
    said = open_task(artifacts.load(given.models, "task-sentiment"))
    assert isinstance(said, TextTask)
    assert said.predict(["red shoe"]).shape == (1, len(said.head.labels))
    opened = Opened()
    language_stages(replace(given, stage=opened.stage))
    assert not any("Teach" in name for name in opened.names)


def test_a_task_that_the_shop_cannot_teach_is_told(base: Path, tmp_path: Path) -> None:
    given = reading(base, tmp_path, teach=Teach(tasks=("sentiment",)))
    with pytest.raises(InvalidInput, match="sentiment"):
        language_stages(given)
    wrong = reading(base, tmp_path / "other", teach=Teach(tasks=("taste",)))
    with pytest.raises(InvalidInput, match="among"):
        language_stages(wrong)


def test_settings_and_library_have_the_same_defaults() -> None:
    """The settings cannot import what trains, so they say its defaults a second time."""
    told, plan = asdict(Teach()), asdict(TeachPlan("a"))
    assert told == {name: plan[name] for name in told}
    assert asdict(Compress()) == asdict(Cuts())
