"""Weights that are pruned: exactly as many as was said, the least ones, and they stay 0 while the rest learns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from honeyguide.errors import InvalidInput
from honeyguide.plm.backbone import Backbone, open_backbone
from honeyguide.plm.compress.calibrate import even_batches, input_grams, input_norms
from honeyguide.plm.compress.magnitude import (
    Gradual,
    Masker,
    Pruning,
    in_each,
    matrices,
    over_all,
    share_of_zeros,
)
from honeyguide.plm.compress.two_four import follows_two_four, two_of_four, use_sparse_kernels
from honeyguide.plm.objectives.masked import MaskedFeed, MaskedLanguage
from honeyguide.plm.tokens import Tokens, tokens_of
from honeyguide.plm.train.devices import Place
from honeyguide.plm.train.loop import AfterStep, Outcome, train
from honeyguide.plm.train.schedule import Schedule
from honeyguide.plm.train.terms import Term
from tests.gpu import needs_cuda
from tests.tiny_bert import WORDS, save_tiny_bert

HERE = Place(torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def backbone(checkpoint: Path) -> Backbone:
    return open_backbone(str(checkpoint), "masked")


def corpus(backbone: Backbone) -> Tokens:
    rng = np.random.default_rng(1)
    starts = rng.integers(0, len(WORDS), 200)
    texts = [" ".join(WORDS[(s + i) % len(WORDS)] for i in range(2 + s % 5)) for s in starts]
    return tokens_of(texts, backbone.fast_tokenizer)


def learn(backbone: Backbone, folder: Path, after: AfterStep, steps: int = 12, **options: object) -> Outcome:
    feed = MaskedFeed.of(corpus(backbone), backbone.special, max_tokens=16, batch_tokens=256, seed=1)
    schedule = Schedule(steps, learning_rate=1e-2, checkpoint_every=5)
    term = Term("masked", MaskedLanguage(backbone.model), feed)
    return train([term], schedule, place=HERE, folder=folder, key="k", after_step=after, **options)  # type: ignore[arg-type]


def scores(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(shape, generator=generator) for name, shape in (("a", (6, 8)), ("b", (4, 12)))}


@pytest.mark.parametrize("share", [0.1, 0.37, 0.5, 0.99])
def test_the_least_go_and_exactly_so_many(share: float) -> None:
    found = scores()
    everything = np.sort(np.concatenate([s.numpy().ravel() for s in found.values()]))
    gone = round(share * everything.size)
    for name, kept in over_all(found, share).items():
        np.testing.assert_array_equal(kept.numpy(), found[name].numpy() > everything[gone - 1])
    for name, kept in in_each(found, share).items():
        own = np.sort(found[name].numpy().ravel())
        np.testing.assert_array_equal(kept.numpy(), found[name].numpy() > own[round(share * own.size) - 1])
    equal = {"a": torch.ones(4, 4), "b": torch.ones(4, 4)}
    assert sum(int((~kept).sum()) for kept in over_all(equal, 0.3).values()) == round(0.3 * 32)


def test_two_of_every_four_stay_and_they_are_the_largest() -> None:
    found = {**scores(), "ties": torch.ones(3, 8)}
    for name, kept in two_of_four(found).items():
        fours = found[name].reshape(-1, 4).numpy()
        for row, stays in zip(fours, kept.reshape(-1, 4).numpy(), strict=True):
            assert stays.sum() == 2
            assert set(np.argsort(-row, kind="stable")[:2]) == set(np.flatnonzero(stays))
    assert follows_two_four(found["a"] * two_of_four(found)["a"])
    assert not follows_two_four(found["a"])
    with pytest.raises(InvalidInput, match=r"0\.5"):
        two_of_four(found, 0.4)
    with pytest.raises(InvalidInput, match="multiple of four"):
        two_of_four({"a": torch.ones(2, 6)})


def test_the_share_rises_as_a_cubic_and_ends_where_it_should() -> None:
    how = Gradual(0.8, begin=10, end=50, every=10)
    shares = [how.at(step) for step in range(61)]
    assert shares[:11] == [0.0] * 11
    assert shares == sorted(shares)
    assert shares[50] == shares[60] == 0.8
    assert shares[30] == pytest.approx(0.8 * (1 - 0.5**3))
    assert [step for step in range(70) if how.is_due(step)] == [10, 20, 30, 40, 50]
    assert [step for step in range(9) if Gradual(0.5, begin=1, end=7, every=4).is_due(step)] == [1, 5, 7]


@pytest.mark.parametrize("masker", [over_all, in_each, two_of_four])
def test_what_is_gone_stays_gone_while_the_rest_learns(
    backbone: Backbone, tmp_path: Path, masker: Masker
) -> None:
    pruning = Pruning(backbone.model, Gradual(0.5), masker=masker)
    before = {name: module.weight.detach().clone() for name, module in matrices(backbone.model).items()}
    assert share_of_zeros(backbone.model) == pytest.approx(0.5, abs=1e-3)
    learn(backbone, tmp_path, pruning.after_step)
    for name, module in matrices(backbone.model).items():
        assert torch.equal(module.weight == 0, before[name] == 0)
        assert not torch.equal(module.weight, before[name])
    pruning.finish()
    assert share_of_zeros(backbone.model) == pytest.approx(0.5, abs=1e-3)
    if masker is two_of_four:
        assert all(follows_two_four(module.weight) for module in matrices(backbone.model).values())


def test_without_it_the_zeros_are_lost(backbone: Backbone, tmp_path: Path) -> None:
    Pruning(backbone.model, Gradual(0.5))
    learn(backbone, tmp_path, lambda step: None)
    assert share_of_zeros(backbone.model) < 0.01


def test_little_by_little_only_adds_zeros_and_a_kill_changes_nothing(
    checkpoint: Path, tmp_path: Path
) -> None:
    how = Gradual(0.7, begin=2, end=10, every=2)

    def run(folder: Path, stop_at: int | None) -> tuple[dict[str, torch.Tensor], list[float]]:
        backbone = open_backbone(str(checkpoint), "masked")
        pruning, shares = Pruning(backbone.model, how), []

        def after(step: int) -> None:
            pruning.after_step(step)
            shares.append(share_of_zeros(backbone.model))

        def progress(done: int, total: int) -> None:
            if done == stop_at:
                raise KeyboardInterrupt

        learn(backbone, folder, after, progress=progress)
        pruning.finish()
        return {name: p.detach().clone() for name, p in backbone.model.named_parameters()}, shares

    whole, shares = run(tmp_path / "whole", None)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(0.7, abs=1e-3)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", 7)
    resumed, _ = run(tmp_path / "broken", None)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_where_training_kept_earlier_weights_the_end_still_has_all_zeros(
    backbone: Backbone, tmp_path: Path
) -> None:
    pruning = Pruning(backbone.model, Gradual(0.6, end=12, every=1))
    values = iter([0.0, 1.0, 2.0])
    feed = MaskedFeed.of(corpus(backbone), backbone.special, max_tokens=16, batch_tokens=256)
    outcome = train(
        [Term("masked", MaskedLanguage(backbone.model), feed)],
        Schedule(12, learning_rate=1e-2, eval_every=4), place=HERE, folder=tmp_path, key="",
        evaluate=lambda: {"loss": next(values)}, after_step=pruning.after_step,
    )  # fmt: skip
    assert outcome.best_step == 4
    assert share_of_zeros(backbone.model) < 0.59
    pruning.finish()
    assert share_of_zeros(backbone.model) == pytest.approx(0.6, abs=1e-3)


def test_the_model_s_checkpoint_knows_nothing_of_masks(backbone: Backbone, tmp_path: Path) -> None:
    names = set(backbone.model.state_dict())
    pruning = Pruning(backbone.model, Gradual(0.5))
    assert set(backbone.model.state_dict()) == names
    assert sum("stays" in name for name, _ in backbone.model.named_buffers()) == len(matrices(backbone.model))
    pruning.finish()
    assert not any("stays" in name for name, _ in backbone.model.named_buffers())
    backbone.save(tmp_path)
    assert share_of_zeros(open_backbone(str(tmp_path), "encoder").model) == pytest.approx(0.5, abs=1e-3)


def test_norms_and_grams_are_those_of_what_flows_in(backbone: Backbone) -> None:
    base = backbone.model.base_model.eval()
    name = "encoder.layer.0.attention.self.query"
    batches = list(even_batches(corpus(backbone), backbone.special, limit=16, rows=7))
    assert sum(len(ids) for ids in batches) == 200
    seen = []
    with torch.no_grad():
        for ids in batches:  # the first layer takes the embeddings as they are
            seen.append(base.embeddings(input_ids=ids).flatten(0, 1).double().numpy())
    flow = np.concatenate(seen)
    norms, grams = input_norms(base, [name], batches)[name], input_grams(base, [name], batches)[name]
    np.testing.assert_allclose(norms.numpy(), np.linalg.norm(flow, axis=0), rtol=1e-5)
    with_one = np.concatenate([flow, np.ones((len(flow), 1))], axis=1)
    np.testing.assert_allclose(grams.numpy(), with_one.T @ with_one, rtol=1e-4, atol=1e-3)
    with pytest.raises(InvalidInput, match="no text"):
        input_norms(base, [name], [])


def output_error(checkpoint: Path, by_flow: Callable[[Backbone], dict[str, torch.Tensor]] | None) -> float:
    """How far the last hidden states are from the unpruned ones, a part of whose inputs is much larger."""
    whole, pruned = (open_backbone(str(checkpoint), "encoder") for _ in range(2))
    for backbone in (whole, pruned):
        with torch.no_grad():
            backbone.model.embeddings.LayerNorm.weight[:8] *= 6
    norms = by_flow(pruned) if by_flow else None
    Pruning(pruned.model, Gradual(0.4), masker=in_each, norms=norms).finish()
    total = 0.0
    for ids in even_batches(corpus(whole), whole.special, limit=16):
        with torch.no_grad():
            total += float((whole.model(ids)[0] - pruned.model(ids)[0]).square().sum())
    return total


def test_weighing_by_what_flows_in_moves_the_output_less(checkpoint: Path) -> None:
    def norms(backbone: Backbone) -> dict[str, torch.Tensor]:
        batches = even_batches(corpus(backbone), backbone.special, limit=16)
        return input_norms(backbone.model, list(matrices(backbone.model)), batches)

    assert output_error(checkpoint, norms) < 0.9 * output_error(checkpoint, None)


def test_wishes_that_make_no_sense_are_told() -> None:
    for share in (0.0, 1.0, -0.1):
        with pytest.raises(InvalidInput, match="share"):
            Gradual(share)
    with pytest.raises(InvalidInput, match="begin"):
        Gradual(0.5, begin=5, end=4)
    with pytest.raises(InvalidInput, match="every"):
        Gradual(0.5, every=0)


def test_sparse_kernels_without_such_a_gpu_are_told(backbone: Backbone) -> None:
    with pytest.raises(InvalidInput, match="CUDA"):
        use_sparse_kernels(backbone.model)


@needs_cuda
def test_sparse_kernels_say_what_the_zeros_say(backbone: Backbone) -> None:
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("needs a CUDA device of compute capability 8.0")
    layer = torch.nn.Linear(256, 256).cuda().half().requires_grad_(False)
    layer.weight.mul_(two_of_four({"w": layer.weight.abs()})["w"])
    model = torch.nn.Module()
    model.config = type("Config", (), {"num_hidden_layers": 1, "model_type": "one"})()
    model.layer = torch.nn.ModuleList([layer])
    x = torch.randn(64, 256, device="cuda", dtype=torch.float16)
    wanted = layer(x)
    assert use_sparse_kernels(model) == 1
    torch.testing.assert_close(layer(x), wanted, rtol=2e-2, atol=2e-2)
