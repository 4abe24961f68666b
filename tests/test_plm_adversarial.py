"""Adversarial training and R-Drop: how far texts are shifted, that nothing stays so, and what the gradients are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from honeyguide.errors import InvalidInput
from honeyguide.plm.adversarial import Adversary, fgm, pgd, word_embeddings
from honeyguide.plm.backbone import Backbone, open_backbone
from honeyguide.plm.objectives.contrastive import Contrastive, PairFeed
from honeyguide.plm.objectives.following import Following, FollowingFeed
from honeyguide.plm.objectives.masked import MaskedFeed, MaskedLanguage
from honeyguide.plm.rdrop import RDrop
from honeyguide.plm.tokens import tokens_of
from honeyguide.plm.train.devices import Place
from honeyguide.plm.train.feeds import Batch
from honeyguide.plm.train.loop import train
from honeyguide.plm.train.schedule import Schedule
from honeyguide.plm.train.terms import Backward, Joint, Losses, Term, plain
from tests.ports import free_port
from tests.tiny_bert import WORDS, save_tiny_bert

HERE = Place(torch.device("cpu"), torch.float32)
TEXTS = [" ".join(WORDS[(s + i) % len(WORDS)] for i in range(2 + s % 5)) for s in range(24)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_bert(tmp_path_factory.mktemp("bert"))


def terms_of(checkpoint: Path, *, dropout: float = 0.0) -> tuple[Backbone, list[Term]]:
    """Three objectives on one small model: the words of one are tied to a decoder, another reads twice."""
    backbone = open_backbone(str(checkpoint), "masked", dropout=dropout)
    model, special = backbone.model, backbone.special
    tokens = tokens_of(TEXTS, backbone.fast_tokenizer)
    first, second = np.arange(20), np.arange(4, 24)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        follow = Following(model.base_model)
    return backbone, [
        Term("words", MaskedLanguage(model), MaskedFeed.of(tokens, special, max_tokens=16, batch_tokens=128)),
        Term(
            "follow",
            follow,
            FollowingFeed.of(tokens, first, second, special, max_tokens=32, batch_tokens=256),
            0.5,
        ),
        Term(
            "pairs",
            Contrastive(model.base_model, "mean"),
            PairFeed.of(tokens, first, second, special, max_tokens=16, rows=8),
        ),
    ]


class Watched:
    """A pass over one batch of all terms that notes what the word embeddings gave each time."""

    def __init__(self, terms: list[Term], number: int = 0) -> None:
        self.joint = Joint(terms)
        self.batches = {
            term.name: {name: torch.from_numpy(column) for name, column in term.feed.batch(number).items()}
            for term in terms
        }
        self.given: list[list[torch.Tensor]] = []
        self.lasts: list[bool] = []

    def __call__(self, *, last: bool = True) -> Losses:
        self.given.append([])
        self.lasts.append(last)
        words = self.joint.terms["words"]
        assert isinstance(words, MaskedLanguage)
        norm = words.model.base_model.embeddings.LayerNorm  # gets words, places and types added up
        hook = norm.register_forward_hook(lambda _m, inputs, _o: self.given[-1].append(inputs[0].detach()))
        try:
            found: Losses = self.joint(self.batches)
        finally:
            hook.remove()
        return found


def gradients(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("epsilon", [0.1, 1.0])
@pytest.mark.parametrize(("make", "least"), [(fgm, 1.0), (pgd, 0.5)])
def test_every_text_is_shifted_by_epsilon_and_no_weight_is_touched(
    checkpoint: Path, make: Callable[[float], Adversary], least: float, epsilon: float
) -> None:
    _, terms = terms_of(checkpoint)
    watched = Watched(terms)
    before = {name: tensor.clone() for name, tensor in watched.joint.state_dict().items()}
    make(epsilon)(watched, watched.joint, 1.0)
    for name, tensor in watched.joint.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    clean, *_, worst = watched.given
    assert len(clean) == len(worst) == 4  # the contrastive objective looks words up twice
    for one, other in zip(clean, worst, strict=True):
        norms = torch.linalg.vector_norm((other - one).flatten(1), dim=1)
        assert float(norms.max()) == pytest.approx(epsilon, rel=1e-3)
        assert float(norms.min()) > 0.999 * least * epsilon  # steps that turn may end within the ball
    assert watched.lasts == [False] * (len(watched.lasts) - 1) + [True]
    assert not any(part._forward_hooks for part in watched.joint.modules())


def test_padding_is_not_shifted(checkpoint: Path) -> None:
    _, terms = terms_of(checkpoint)
    watched = Watched(terms)
    fgm(1.0)(watched, watched.joint, 1.0)
    clean, worst = watched.given[0][0], watched.given[-1][0]
    mask = watched.batches["words"]["mask"].bool()
    assert (mask.sum(1) < mask.shape[1]).any()
    moved = torch.linalg.vector_norm(worst - clean, dim=2)
    assert float(moved[~mask].max()) < 1e-5
    assert float(moved[mask].min()) > 0


def test_one_step_of_pgd_is_fgm_and_epsilon_nought_is_plain_training(checkpoint: Path) -> None:
    def found(backward: Backward) -> dict[str, torch.Tensor]:
        _, terms = terms_of(checkpoint)
        watched = Watched(terms)
        backward(watched, watched.joint, 0.5)
        return gradients(watched.joint)

    one, other = found(fgm(0.7)), found(pgd(0.7, steps=1))
    for name in one:
        torch.testing.assert_close(one[name], other[name])
    as_it_is, nought = found(plain), found(fgm(0.0))
    assert as_it_is.keys() == nought.keys()
    for name in nought:
        torch.testing.assert_close(nought[name], as_it_is[name], rtol=1e-4, atol=1e-5)
    assert any(not torch.allclose(one[name], as_it_is[name], rtol=1e-2) for name in one)


def test_gradients_are_added_to_what_is_there(checkpoint: Path) -> None:
    """Two batches, one after the other, give the sum of what each gives alone."""
    alone = []
    for number in (0, 1):
        _, terms = terms_of(checkpoint)
        watched = Watched(terms, number)
        fgm(1.0)(watched, watched.joint, 0.5)
        alone.append(gradients(watched.joint))
    _, terms = terms_of(checkpoint)
    joint = Joint(terms)
    for number in (0, 1):
        watched = Watched(terms, number)
        fgm(1.0)(watched, joint, 0.5)
    for name, gradient in gradients(joint).items():
        torch.testing.assert_close(gradient, alone[0][name] + alone[1][name], rtol=1e-3, atol=1e-5)


def test_the_loss_it_reports_is_the_one_it_minimises(checkpoint: Path) -> None:
    _, terms = terms_of(checkpoint)
    watched = Watched(terms)
    found = Adversary(epsilon=1.0, steps=2, step=0.7, share=0.25)(watched, watched.joint, 1.0)
    clean = float(plain(watched, watched.joint, 1.0)["loss"].detach())
    assert float(found["loss"]) == pytest.approx(0.75 * clean + 0.25 * float(found["adversarial"]), rel=1e-5)
    assert {"words", "follow", "pairs"} <= found.keys()


@pytest.mark.slow
def test_on_a_converged_model_shifts_hurt_and_more_steps_hurt_more(checkpoint: Path, tmp_path: Path) -> None:
    _, terms = terms_of(checkpoint)
    train(terms, Schedule(150, learning_rate=3e-3), place=HERE, folder=tmp_path, key="")
    joint = Joint(terms).eval()

    def worse(backward: Adversary) -> tuple[float, float]:
        gaps = []
        for number in range(12):
            watched = Watched(terms, number)
            found = backward(watched, joint, 1.0)
            clean = sum(t.weight * float(found[t.name].detach()) for t in terms)
            gaps.append(float(found["adversarial"]) - clean)
        return float(np.mean(gaps)), float(np.min(gaps))

    (once, least), (often, _) = worse(fgm(0.5)), worse(pgd(0.5, steps=5))
    assert once > 0
    assert least > -0.01
    assert often > once


@pytest.mark.parametrize("backward", [fgm(0.5), pgd(0.5, steps=2)])
def test_a_killed_job_ends_where_an_unbroken_one_ends(
    checkpoint: Path, tmp_path: Path, backward: Adversary
) -> None:
    def learn(folder: Path, stop_at: int | None = None) -> dict[str, torch.Tensor]:
        backbone, terms = terms_of(checkpoint, dropout=0.1)

        def progress(done: int, total: int) -> None:
            if done == stop_at:
                raise KeyboardInterrupt

        schedule = Schedule(5, learning_rate=1e-3, checkpoint_every=2, accumulate=2)
        train(terms, schedule, place=HERE, folder=folder, key="k", backward=backward, progress=progress)
        return dict(backbone.model.state_dict())

    whole = learn(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "broken", 3)
    resumed = learn(tmp_path / "broken")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


PROCESS = """
import sys, torch
from pathlib import Path
from safetensors.torch import save_file
from honeyguide.plm.adversarial import pgd
from honeyguide.plm.train.devices import find_place
from honeyguide.plm.train.loop import train
from honeyguide.plm.train.schedule import Schedule
from tests.test_plm_adversarial import terms_of
torch.set_num_threads(1)
folder = Path(sys.argv[1])
backbone, terms = terms_of(folder / "bert")
place = find_place("cpu", "float32")
schedule = Schedule(4, learning_rate=1e-3, accumulate=2)
train(terms, schedule, place=place, folder=folder / "job", key="", backward=pgd(0.5, steps=2))
if place.leads:
    save_file({n: p.detach().clone() for n, p in backbone.model.named_parameters()}, folder / "out")
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_from_twice_as_many_batches(tmp_path: Path) -> None:
    checkpoint = save_tiny_bert(tmp_path / "bert")
    backbone, terms = terms_of(checkpoint)
    schedule = Schedule(4, learning_rate=1e-3, accumulate=4)
    train(terms, schedule, place=HERE, folder=tmp_path / "one", key="", backward=pgd(0.5, steps=2))
    port = free_port()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(tmp_path)],
            env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                 "MASTER_PORT": port, "LOCAL_RANK": str(rank), "PYTHONPATH": os.getcwd()},
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]  # fmt: skip
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    own = dict(backbone.model.named_parameters())
    for name, tensor in load_file(tmp_path / "out").items():
        if not name.endswith("key.bias"):  # has no gradient but rounding, which Adam blows up
            torch.testing.assert_close(tensor, own[name].detach(), rtol=1e-3, atol=2e-6)


def test_frozen_words_are_shifted_too_and_a_model_without_words_is_told(checkpoint: Path) -> None:
    backbone, terms = terms_of(checkpoint)
    assert word_embeddings(Joint(terms)) == [backbone.model.base_model.embeddings.word_embeddings]
    backbone.model.base_model.embeddings.requires_grad_(False)
    watched = Watched(terms)
    found = fgm(1.0)(watched, watched.joint, 1.0)
    clean, worst = watched.given[0][0], watched.given[-1][0]
    assert not torch.equal(clean, worst)
    assert torch.isfinite(found["loss"])
    line = torch.nn.Linear(2, 1)
    with pytest.raises(InvalidInput, match="no word embeddings"):
        fgm(1.0)(lambda *, last=True: {"loss": line(torch.ones(2)).sum()}, line, 1.0)
    for wrong in ({"epsilon": -1.0}, {"share": 1.0}, {"steps": 0}):
        with pytest.raises(InvalidInput, match=next(iter(wrong))):
            Adversary(**{"epsilon": 1.0, "steps": 1, "step": 1.0, **wrong})  # type: ignore[arg-type]


# R-Drop


class Guess(torch.nn.Module):
    """Three classes from eight numbers, with dropout in between."""

    def __init__(self, dropout: float, smoothing: float = 0.0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.hidden, self.out = torch.nn.Linear(8, 16), torch.nn.Linear(16, 3)
        self.drop, self.smoothing = torch.nn.Dropout(dropout), smoothing

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        logits = self.out(self.drop(torch.tanh(self.hidden(x))))
        return torch.nn.functional.cross_entropy(logits, y, label_smoothing=self.smoothing)


class Blobs:
    """Points whose class a fifth of the labels get wrong."""

    def batch(self, number: int) -> Batch:
        rng = np.random.default_rng([5, number])
        x = rng.normal(size=(32, 8)).astype(np.float32)
        y = x[:, :3].argmax(1)
        return {"x": x, "y": np.where(rng.random(32) < 0.2, rng.integers(0, 3, 32), y)}


def blob(number: int = 0) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(column) for name, column in Blobs().batch(number).items()}


def test_where_nothing_is_dropped_r_drop_is_the_objective_itself() -> None:
    module = Guess(0.0)
    wrapped = RDrop(module, module.out, alpha=5.0)
    torch.testing.assert_close(wrapped(**blob()), module(**blob()))
    dropping = Guess(0.5)
    quiet = RDrop(dropping, dropping.out).eval()
    torch.testing.assert_close(quiet(**blob()), dropping(**blob()))
    assert set(wrapped.state_dict()) == {f"module.{name}" for name in module.state_dict()}


def test_r_drop_is_what_a_loop_computes() -> None:
    module = Guess(0.4)
    wrapped = RDrop(module, module.out, alpha=2.0)
    torch.manual_seed(1)
    loss = float(wrapped(**blob()).detach())
    torch.manual_seed(1)
    logits: list[torch.Tensor] = []
    handle = module.out.register_forward_hook(lambda _m, _i, output: logits.append(output.detach()))
    losses = [float(module(**blob()).detach()) for _ in range(2)]
    handle.remove()
    p, q = (line.double().softmax(1).numpy() for line in logits)
    apart = np.mean(
        [(a * np.log(a / b)).sum() + (b * np.log(b / a)).sum() for a, b in zip(p, q, strict=True)]
    )
    assert loss == pytest.approx(np.mean(losses) + 2.0 * apart / 2, rel=1e-4)


def test_r_drop_brings_two_passes_together(tmp_path: Path) -> None:
    gaps = []
    for alpha in (0.0, 4.0):
        module = Guess(0.4)
        term = Term("guess", RDrop(module, module.out, alpha=alpha), Blobs())
        train([term], Schedule(200, learning_rate=1e-2), place=HERE, folder=tmp_path / str(alpha), key="")
        with torch.no_grad():
            torch.manual_seed(0)
            apart = [float(RDrop(module.train(), module.out)(**blob(n))) for n in range(1000, 1020)]
            torch.manual_seed(0)
            alone = [float(RDrop(module, module.out, alpha=0)(**blob(n))) for n in range(1000, 1020)]
        gaps.append(np.mean(apart) - np.mean(alone))
    assert 0 < gaps[1] < 0.5 * gaps[0]


def test_the_contrastive_objective_takes_r_drop_and_fgm_at_once(checkpoint: Path, tmp_path: Path) -> None:
    _, terms = terms_of(checkpoint, dropout=0.2)
    module = terms[2].module
    assert isinstance(module, Contrastive)
    term = Term("pairs", RDrop(module, module.scores), terms[2].feed)
    outcome = train(
        [term], Schedule(20, learning_rate=3e-3), place=HERE, folder=tmp_path, key="", backward=fgm(0.5)
    )
    losses = [figures["loss"] for _, figures in outcome.history]
    assert np.isfinite(losses).all()
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    with pytest.raises(InvalidInput, match="part of the module"):
        RDrop(module, torch.nn.Linear(1, 1))
    unused, spare = Guess(0.1), torch.nn.Linear(1, 1)
    unused.add_module("spare", spare)
    with pytest.raises(InvalidInput, match="gave no logits"):
        RDrop(unused, spare)(**blob())


# settings that are there already: each must do something


def learned(tmp_path: Path, name: str, module: torch.nn.Module, **options: Any) -> torch.nn.Module:
    schedule = Schedule(150, **{"learning_rate": 1e-2, **options})
    train([Term("guess", module, Blobs())], schedule, place=HERE, folder=tmp_path / name, key="")
    return module.eval()


def sureness(module: torch.nn.Module) -> float:
    """How likely the likeliest class is, on average."""
    assert isinstance(module, Guess)
    with torch.no_grad():
        logits = module.out(torch.tanh(module.hidden(torch.cat([blob(n)["x"] for n in range(500, 520)]))))
    return float(logits.softmax(1).max(1).values.mean())


def test_weight_decay_makes_weights_smaller_and_spares_biases(tmp_path: Path) -> None:
    plain_ones, pulled = Guess(0.0), Guess(0.0)
    learned(tmp_path, "none", plain_ones, weight_decay=0.0)
    learned(tmp_path, "some", pulled, weight_decay=5.0)
    assert pulled.out.weight.norm() < 0.5 * plain_ones.out.weight.norm()
    assert 0.5 < pulled.out.bias.norm() / plain_ones.out.bias.norm() < 2


def test_label_smoothing_makes_a_model_less_sure(tmp_path: Path) -> None:
    sure = sureness(learned(tmp_path, "sure", Guess(0.0)))
    smooth = sureness(learned(tmp_path, "smooth", Guess(0.0, smoothing=0.3)))
    assert smooth < sure - 0.05


def test_dropout_is_what_was_asked_for_and_only_while_learning(checkpoint: Path) -> None:
    batch = {
        name: torch.from_numpy(column) for name, column in terms_of(checkpoint)[1][0].feed.batch(0).items()
    }
    for dropout in (0.0, 0.3):
        _, terms = terms_of(checkpoint, dropout=dropout)
        module = terms[0].module.train()
        torch.manual_seed(0)
        with torch.no_grad():
            losses = {round(float(module(**batch)), 3) for _ in range(5)}
            assert len(losses) == (5 if dropout else 1)
            module.eval()
            assert len({float(module(**batch)) for _ in range(3)}) == 1
        assert {p.p for p in module.modules() if isinstance(p, torch.nn.Dropout)} == {dropout}
