"""Students begin as part of their teacher and come to say what it says; losses are what loops compute."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from honeyguide import artifacts
from honeyguide.errors import InvalidInput
from honeyguide.plm.backbone import Backbone, open_backbone
from honeyguide.plm.distill import losses
from honeyguide.plm.distill.imitate import ImitatedTexts, ImitatedWords, Imitation, TextFeed
from honeyguide.plm.distill.student import depth, spread, student_of
from honeyguide.plm.distill.transformer import (
    Distillation,
    StudentPlan,
    distil,
    distil_student,
    text_vectors,
)
from honeyguide.plm.files import STUDENT
from honeyguide.plm.heads.head import Feeding
from honeyguide.plm.objectives.masked import MaskedFeed
from honeyguide.plm.tokens import Tokens, tokens_of
from honeyguide.plm.train.devices import Place
from honeyguide.plm.train.schedule import Schedule
from tests.tiny_bert import VOCABULARY, WORDS, save_tiny_bert

HERE = Place(torch.device("cpu"), torch.float32)
ALL = Imitation(distances=1.0)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def teacher(checkpoint: Path) -> Backbone:
    return open_backbone(str(checkpoint), "masked", dropout=0.0)


def texts(n: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(1, 9))) for _ in range(n)]


def tokens(backbone: Backbone, n: int, seed: int = 0) -> Tokens:
    return tokens_of(texts(n, seed), backbone.fast_tokenizer)


def feeding(backbone: Backbone) -> Feeding:
    return Feeding.of(backbone, max_tokens=16, batch_tokens=256)


def batch(backbone: Backbone) -> dict[str, torch.Tensor]:
    found = TextFeed.of(tokens(backbone, 20), feeding(backbone)).batch(0)
    return {name: torch.from_numpy(column) for name, column in found.items()}


def states(backbone: Backbone, given: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        found = backbone.model.base_model.eval()(
            input_ids=given["ids"], attention_mask=given["mask"], output_hidden_states=True
        )
    return tuple(found.hidden_states)


def parameters(backbone: Backbone) -> dict[str, torch.Tensor]:
    return {name: one.detach().clone() for name, one in backbone.model.named_parameters()}


def test_layers_are_spread_evenly_and_end_with_the_last() -> None:
    assert spread(6, 3) == (1, 3, 5)
    assert spread(12, 4) == (2, 5, 8, 11)
    assert spread(5, 5) == (0, 1, 2, 3, 4)
    assert spread(6, 4)[-1] == spread(6, 1)[0] == 5
    with pytest.raises(InvalidInput, match="1 to 6 layers"):
        spread(6, 7)


def test_the_first_layers_alone_say_what_they_say_in_the_teacher(teacher: Backbone) -> None:
    student = student_of(teacher, layers=(0,))
    assert (depth(student), depth(teacher)) == (1, 2)
    given = batch(teacher)
    for ours, theirs in zip(states(student, given), states(teacher, given)[:2], strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_student_with_all_layers_is_its_teacher_and_shares_nothing_with_it(teacher: Backbone) -> None:
    student = student_of(teacher, layers=2)
    before = parameters(teacher)
    assert all(torch.equal(one, before[name]) for name, one in parameters(student).items())
    with torch.no_grad():
        for one in student.model.parameters():
            one.add_(1)
    assert all(torch.equal(one, before[name]) for name, one in parameters(teacher).items())


@pytest.mark.parametrize("kind", ["masked", "encoder"])
def test_a_narrower_student_holds_parts_of_its_teacher(checkpoint: Path, kind: Any, tmp_path: Path) -> None:
    teacher = open_backbone(str(checkpoint), kind)
    student = student_of(teacher, layers=(1, 1), width=16)
    config = student.model.config
    assert (config.hidden_size, config.num_attention_heads, config.intermediate_size) == (16, 1, 32)
    words = teacher.model.get_input_embeddings().weight.detach()
    kept = words.std(0).topk(16).indices.sort().values
    torch.testing.assert_close(student.model.get_input_embeddings().weight.detach(), words[:, kept])
    layer, whole = (one.model.base_model.encoder.layer[1] for one in (student, teacher))
    rows = {tuple(row) for row in whole.attention.self.query.weight.detach()[:, kept].numpy().tolist()}
    assert {tuple(row) for row in layer.attention.self.query.weight.detach().numpy().tolist()} <= rows
    student.save(tmp_path)
    again = open_backbone(str(tmp_path), kind)
    given = batch(teacher)
    torch.testing.assert_close(states(again, given), states(student, given))


def test_students_that_cannot_be_are_refused(teacher: Backbone, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"0\.\.1"):
        student_of(teacher, layers=(0, 2))
    for width in (10, 64):
        with pytest.raises(InvalidInput, match="multiple of 16"):
            student_of(teacher, layers=1, width=width)
    with pytest.raises(InvalidInput, match="for each of the student's 1"):
        ImitatedTexts(teacher, student_of(teacher, layers=1), ALL, layers=(0, 1))
    other = open_backbone(str(save_tiny_bert(tmp_path)), "masked")
    other.tokenizer.add_tokens(["zebra"])
    with pytest.raises(InvalidInput, match="cut texts differently"):
        ImitatedTexts(teacher, other, ALL)
    with pytest.raises(InvalidInput, match="not all 0"):
        Imitation(0, 0, 0, 0, 0)
    with pytest.raises(InvalidInput, match="temperatures"):
        Imitation(temperature=0)


def test_soft_targets_are_what_a_loop_computes_and_0_for_the_same() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 7))
    chances = [np.exp(x / 2) / np.exp(x / 2).sum(1, keepdims=True) for x in (a, b)]
    wanted = 4 * (chances[0] * np.log(chances[0] / chances[1])).sum(1).mean()
    one, other = torch.from_numpy(a), torch.from_numpy(b)
    assert float(losses.soft_targets(one, other, 2.0)) == pytest.approx(wanted, rel=1e-4)
    assert float(losses.soft_targets(one, one + 3, 2.0)) == pytest.approx(0, abs=1e-6)


def test_similarities_and_distances_do_not_see_a_turned_space() -> None:
    rng = np.random.default_rng(0)
    a = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(6, 4))), dim=1)
    turn = torch.linalg.qr(torch.from_numpy(rng.normal(size=(4, 4))))[0]
    b = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(6, 3))), dim=1)
    assert float(losses.similarities(a, a @ turn, 0.1)) == pytest.approx(0, abs=1e-9)
    assert float(losses.distances(a, 7 * a @ turn)) == pytest.approx(0, abs=1e-6)
    scores = [(x @ x.T / 0.1).numpy() for x in (a, b)]
    total = 0.0
    for i in range(6):
        others = [j for j in range(6) if j != i]
        p, q = (np.exp(s[i, others]) / np.exp(s[i, others]).sum() for s in scores)
        total += (p * np.log(p / q)).sum() / 6
    assert float(losses.similarities(a, b, 0.1)) == pytest.approx(total, rel=1e-6)
    assert float(losses.distances(a, b)) > 0.01


def test_states_and_relations_do_not_see_padding() -> None:
    torch.manual_seed(0)
    wanted, said = torch.randn(3, 5, 8), torch.randn(3, 5, 8)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]])
    noise = torch.randn(3, 5, 8) * (1 - mask)[:, :, None]
    for loss in (losses.states, lambda a, b, m: losses.relations(a, b, m, 2)):
        torch.testing.assert_close(loss(wanted, said, mask), loss(wanted + noise, said - noise, mask))
        assert float(loss(wanted, wanted + noise, mask)) == pytest.approx(0, abs=1e-6)
        assert float(loss(wanted, said, mask)) > 0.1


def test_relations_are_what_a_loop_computes() -> None:
    rng = np.random.default_rng(0)
    wanted, said = rng.normal(size=(2, 4, 8)), rng.normal(size=(2, 4, 4))
    mask = np.array([[1, 1, 1, 1], [1, 1, 1, 0]])
    total, count = 0.0, 0
    for text in range(2):
        n = mask[text].sum()
        for head in range(2):
            rows = []
            for flow, width in ((wanted, 4), (said, 2)):
                part = flow[text, :n, head * width : (head + 1) * width]
                scores = np.exp(part @ part.T / np.sqrt(width))
                rows.append(scores / scores.sum(1, keepdims=True))
            total += (rows[0] * np.log(rows[0] / rows[1])).sum()
            count += n
    given = (torch.from_numpy(wanted), torch.from_numpy(said), torch.from_numpy(mask))
    assert float(losses.relations(*given, 2)) == pytest.approx(total / count, rel=1e-4)


def test_who_is_its_teacher_has_nothing_to_learn_and_others_have(teacher: Backbone) -> None:
    given = batch(teacher)
    same = ImitatedTexts(teacher, student_of(teacher, layers=2), ALL).train()
    other = ImitatedTexts(teacher, student_of(teacher, layers=1), ALL)
    with torch.no_grad():
        parts = {name: float(loss) for name, loss in same.parts(**given).items()}
        others = {name: float(loss) for name, loss in other.parts(**given).items()}
        total = float(other(**given))
    assert parts == pytest.approx({name: 0.0 for name in parts}, abs=1e-5)
    assert set(parts) == {"vectors", "similarities", "distances", "hidden", "relations"}
    assert min(others.values()) > 1e-3
    assert total == pytest.approx(sum(others.values()), rel=1e-5)
    narrow = ImitatedTexts(teacher, student_of(teacher, layers=1, width=16), ALL)
    narrow(**given).backward()
    assert all(one.grad is None for one in narrow.teacher.parameters())
    assert narrow.lift_states is not None
    assert narrow.lift_states.weight.grad is not None


def test_the_teacher_has_no_dropout_however_the_student_trains(checkpoint: Path) -> None:
    teacher = open_backbone(str(checkpoint), "masked", dropout=0.5)
    module = ImitatedTexts(teacher, student_of(teacher, layers=1), ALL)
    torch.nn.ModuleDict({"texts": module}).eval().train()
    assert module.student.training
    assert not any(one.training for one in module.teacher.modules())


def test_words_are_the_teachers_chances_and_what_stood_there(teacher: Backbone) -> None:
    feed = MaskedFeed.of(tokens(teacher, 50), teacher.special, max_tokens=16, batch_tokens=512)
    given = {name: torch.from_numpy(column) for name, column in feed.batch(0).items()}
    student = student_of(teacher, layers=2)
    soft = ImitatedWords(teacher, student, Imitation(words=1.0, words_hard=0.0))
    assert float(soft(**given).detach()) == pytest.approx(0, abs=1e-5)
    hard = ImitatedWords(teacher, student, Imitation(words=1.0, words_hard=1.0))
    with torch.no_grad():
        logits = hard.student.logits(given["ids"], given["mask"], given["places"])
    wanted = torch.nn.functional.cross_entropy(logits, given["targets"])
    torch.testing.assert_close(hard(**given), wanted)


def test_a_model_that_attends_in_unknown_ways_is_told(teacher: Backbone) -> None:
    student = student_of(teacher, layers=1)
    for backbone in (teacher, student):
        attention = backbone.model.base_model.encoder.layer[-1].attention.self
        for name in ("query", "key", "value"):
            attention.add_module(f"{name}_of_its_own", attention._modules.pop(name))
    module = ImitatedTexts(teacher, student, Imitation(relations=1.0))
    with pytest.raises(InvalidInput, match="set relations to 0"):
        module(**batch(teacher))


def learn(
    teacher: Backbone,
    student: Backbone,
    folder: Path,
    asked: Imitation,
    stop_at: int | None = None,
    **told: Any,
) -> Distillation:
    def progress(done: int, total: int) -> None:
        if done == stop_at:
            raise KeyboardInterrupt

    given: dict[str, Any] = {
        "steps": 16,
        "learning_rate": 2e-3,
        "eval_every": 4,
        "checkpoint_every": 5,
        **told,
    }
    return distil(
        teacher, student, tokens(teacher, 200), tokens(teacher, 40, seed=1), asked, Schedule(**given), place=HERE,
        folder=folder, feeding=feeding(teacher), progress=progress,
    )  # fmt: skip


def test_a_kill_changes_nothing_and_the_teacher_stays_what_it_is(teacher: Backbone, tmp_path: Path) -> None:
    asked = replace(ALL, words=0.5)
    before = parameters(teacher)

    def run(folder: str, stop_at: int | None = None) -> Backbone:
        student = student_of(teacher, layers=1, width=16)
        learn(teacher, student, tmp_path / folder, asked, stop_at)
        return student

    whole = parameters(run("whole"))
    with pytest.raises(KeyboardInterrupt):
        run("broken", 7)
    resumed = parameters(run("broken"))
    assert all(torch.equal(one, resumed[name]) for name, one in whole.items())
    assert all(torch.equal(one, before[name]) for name, one in parameters(teacher).items())


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(Imitation(), id="all"),
        pytest.param(Imitation(0, 1, 0, 0, 0), id="similarities"),
        pytest.param(Imitation(0, 0, 1, 0, 0), id="distances"),
        pytest.param(Imitation(1, 0, 0, 0, 0), id="vectors"),
        pytest.param(Imitation(0, 0, 0, 1, 0), id="hidden"),
    ],
)
@pytest.mark.slow
def test_a_student_comes_to_find_alike_what_its_teacher_does(
    teacher: Backbone, asked: Imitation, tmp_path: Path
) -> None:
    with torch.no_grad():  # as the tests have it the teacher is wild: one that can be told with a layer less
        for parameter in teacher.model.base_model.encoder.parameters():
            parameter.mul_(0.4 if parameter.ndim == 2 else 1)
    student = student_of(teacher, layers=1)
    found = learn(teacher, student, tmp_path, asked, steps=90, eval_every=45, learning_rate=5e-3)
    assert found.before is not None
    assert found.after is not None
    assert 1 - found.after < 0.5 * (1 - found.before)
    assert found.after == pytest.approx(1 - (found.outcome.best or 0))


def test_few_texts_are_enough_to_begin(teacher: Backbone, tmp_path: Path) -> None:
    one = tokens_of(["milk"], teacher.fast_tokenizer)
    found = distil(
        teacher, student_of(teacher, layers=1), one, one, replace(ALL, vectors=0, hidden=0, relations=0),
        Schedule(2), place=HERE, folder=tmp_path, feeding=feeding(teacher),
    )  # fmt: skip
    assert (found.before, found.after, found.outcome.steps) == (None, None, 2)


def test_the_stored_student_is_a_checkpoint_with_its_card(checkpoint: Path, tmp_path: Path) -> None:
    plan = StudentPlan(
        str(checkpoint), 1, Schedule(3, learning_rate=1e-3), imitation=Imitation(words=0.5), max_tokens=16,
        device="cpu", precision="float32",
    )  # fmt: skip
    version = distil_student(tmp_path / "models", plan, texts=texts(60), scratch=tmp_path / "scratch")
    stored = artifacts.load(tmp_path / "models", STUDENT)
    assert stored.version == version
    student = open_backbone(str(stored.folder), "masked")
    assert depth(student) == 1
    assert len(student.tokenizer) == len(VOCABULARY)
    card = (stored.folder / "README.md").read_text()
    assert "1 layers of width 32" in card
    assert f"{stored.meta['after']:.3f}" in card
    vectors = text_vectors(student, tokens(student, 5), feeding(student), HERE.device)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert not (tmp_path / "scratch" / "checkpoints").exists()
    with pytest.raises(InvalidInput, match="no text to distil on"):
        distil_student(tmp_path / "models", plan, texts=[" "], scratch=tmp_path / "other")
