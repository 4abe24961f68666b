"""Heads and neurons that are taken out: the least important go, matrices shrink, and what stays makes up for it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from honeyguide import artifacts
from honeyguide.errors import InvalidInput
from honeyguide.plm.backbone import Backbone, open_backbone
from honeyguide.plm.batches import padded
from honeyguide.plm.compress.calibrate import even_batches, input_grams
from honeyguide.plm.compress.structured import Cut, choose, importance, prune, refit
from honeyguide.plm.encoder import OnnxEncoder
from honeyguide.plm.export import export_encoder
from honeyguide.plm.objectives.contrastive import Contrastive, PairFeed
from honeyguide.plm.shapes import Site, columns, sites, take_columns
from honeyguide.plm.tokens import tokens_of
from honeyguide.plm.train.devices import Place
from honeyguide.plm.train.feeds import Batch
from honeyguide.plm.train.loop import train
from honeyguide.plm.train.schedule import Schedule
from honeyguide.plm.train.terms import Term
from tests.tiny_bert import MAX_TOKENS, WORDS, save_tiny_bert

HERE = Place(torch.device("cpu"), torch.float32)
SHELF = ["red wine", "frozen pizza", "dog food", "hand soap", "dry shampoo", "organic milk"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def backbone(checkpoint: Path) -> Backbone:
    return open_backbone(str(checkpoint), "encoder")


def feed(backbone: Backbone) -> PairFeed:
    tokens = tokens_of(SHELF, backbone.fast_tokenizer)
    return PairFeed.of(
        tokens, np.array([0, 1, 2, 3, 4]), np.array([1, 2, 3, 4, 5]), backbone.special, max_tokens=16, rows=4
    )


def vectors(backbone: Backbone, texts: list[str]) -> torch.Tensor:
    tokens = tokens_of(texts, backbone.fast_tokenizer)
    rows = [tokens.text(row, 14) for row in range(len(tokens))]
    special = backbone.special
    ids, mask = padded(rows, first=special.first, last=special.last, pad=special.pad)
    with torch.no_grad():
        module = Contrastive(backbone.model.base_model, backbone.pooling).eval()
        return module.vectors(torch.from_numpy(ids), torch.from_numpy(mask))


def calibration(backbone: Backbone) -> list[torch.Tensor]:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, 1 + i % 7)) for i in range(200)]
    return list(even_batches(tokens_of(texts, backbone.fast_tokenizer), backbone.special, limit=16))


def shut(model: Any, site: Site, stay: torch.Tensor) -> None:
    """What taking columns out should amount to: they are there, and count nothing."""
    linear = model.get_submodule(site.out)
    gone = torch.ones(linear.in_features, dtype=torch.bool)
    gone[stay] = False
    with torch.no_grad():
        linear.weight[:, gone] = 0


@pytest.mark.parametrize("part", ["heads", "neurons"])
def test_a_smaller_model_says_what_the_large_one_says_with_the_rest_shut(
    backbone: Backbone, part: str
) -> None:
    closed = copy.deepcopy(backbone.model)
    before = sum(p.numel() for p in backbone.model.parameters())
    lost = 0
    for site in sites(backbone.model, part):
        groups = torch.arange(columns(backbone.model, site) // site.width)[::2]
        stay = (groups[:, None] * site.width + torch.arange(site.width)).reshape(-1)
        gone = columns(backbone.model, site) - len(stay)
        lost += gone * (len(site.into) * (32 + 1) + 32)
        shut(closed, site, stay)
        take_columns(backbone.model, site, stay)
    assert before - sum(p.numel() for p in backbone.model.parameters()) == lost
    ids = torch.tensor([[2, 9, 11, 12, 3], [2, 8, 3, 0, 0]])
    mask = (ids != 0).long()
    with torch.no_grad():
        small = backbone.model.eval()(input_ids=ids, attention_mask=mask)[0]
        large = closed.eval()(input_ids=ids, attention_mask=mask)[0]
    torch.testing.assert_close(small[mask.bool()], large[mask.bool()], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("part", ["heads", "neurons"])
def test_importance_is_what_a_loop_over_texts_and_gates_finds(backbone: Backbone, part: str) -> None:
    """The slope by finite differences, gate by gate; each pair is a batch, so a text is asked alone."""
    model = backbone.model.double()

    class Squares(torch.nn.Module):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            hidden = model(input_ids=ids)[0]
            found: torch.Tensor = (hidden * torch.linspace(0, 1, 32)).square().sum((1, 2)).mean()
            return found

    objective = Squares().eval()
    ids = np.array([[2, 9, 11, 3], [2, 8, 7, 3], [2, 20, 6, 3]])
    found = sites(model, part)
    got = importance(model, found, objective, [{"ids": ids[:2]}, {"ids": ids[2:]}])

    def loss(site: Site, group: int, gate: float, row: int) -> float:
        linear = model.get_submodule(site.out)
        kept = linear.weight.detach().clone()
        with torch.no_grad():
            linear.weight[:, group * site.width : (group + 1) * site.width] *= gate
            value = float(objective(torch.from_numpy(ids[row : row + 1])))
            linear.weight.copy_(kept)
        return value

    for site in found:
        for group in range(min(3, len(got[site]))):
            slopes = [(loss(site, group, 1.001, r) - loss(site, group, 0.999, r)) / 0.002 for r in range(3)]
            assert float(got[site][group]) == pytest.approx(np.abs(slopes).mean(), rel=1e-3)


def test_exactly_the_share_that_counts_least_goes_and_every_layer_keeps_one() -> None:
    found = [Site(layer, "heads", (), f"{layer}", 4) for layer in range(3)]
    rng = np.random.default_rng(0)
    values = {site: torch.from_numpy(rng.random(4) * 10 ** (-3 * site.layer)) for site in found}
    for share in (0.1, 0.25, 0.5, 0.7):
        kept = choose(values, share)
        assert sum(len(one) for one in kept.values()) == 12 - round(share * 12)
        scaled = {site: (v / v.norm()).tolist() for site, v in values.items()}
        gone = [(site, g) for site in found for g in range(4) if g not in kept[site].tolist()]
        best = {site: int(np.argmax(scaled[site])) for site in found}
        assert all(best[site] in kept[site].tolist() for site in found)
        weakest_kept = min(
            (scaled[site][g] for site in found for g in kept[site].tolist() if g != best[site]), default=1.0
        )
        assert max(scaled[site][g] for site, g in gone) <= weakest_kept
    assert all(len(one) == 1 for one in choose(values, 0.99).values())


def test_copies_can_go_and_nothing_is_lost(backbone: Backbone) -> None:
    """Neurons that are copies of others: refitted, the others say it all."""
    first = next(site for site in sites(backbone.model, "neurons") if site.layer == 0)
    model = backbone.model.eval()
    with torch.no_grad():
        for name in first.into:
            linear = model.get_submodule(name)
            linear.weight[32:] = linear.weight[:32]
            linear.bias[32:] = linear.bias[:32]
    wanted = vectors(backbone, SHELF)
    plain = copy.deepcopy(backbone.model)
    take_columns(plain, first, torch.arange(32))
    refit(model, first, torch.arange(32), calibration(backbone))
    take_columns(model, first, torch.arange(32))
    torch.testing.assert_close(vectors(backbone, SHELF), wanted, rtol=1e-2, atol=1e-3)
    ids = torch.tensor([[2, 9, 11, 3]])
    with torch.no_grad():
        assert float((plain(input_ids=ids)[0] - model(input_ids=ids)[0]).abs().max()) > 0.1


def test_refitting_is_least_squares(backbone: Backbone) -> None:
    site = sites(backbone.model, "neurons")[1]
    linear = backbone.model.eval().get_submodule(site.out)
    texts = calibration(backbone)
    gram = input_grams(backbone.model, [site.out], texts)[site.out].numpy()
    before = np.concatenate([linear.weight.detach().numpy(), linear.bias.detach().numpy()[:, None]], axis=1)
    stay = torch.arange(0, 64, 2)
    columns_left = [*stay.tolist(), 64]
    refit(backbone.model, site, stay, texts)

    def error(weights: np.ndarray) -> float:
        gap = before.astype(np.float64).copy()
        gap[:, columns_left] -= weights
        return float(np.trace(gap @ gram @ gap.T))

    after = np.concatenate(
        [linear.weight.detach().numpy()[:, stay], linear.bias.detach().numpy()[:, None]], axis=1
    )
    rng = np.random.default_rng(0)
    assert error(after) < 0.8 * error(before[:, columns_left])
    nudged = [error(after + 0.02 * rng.normal(size=after.shape)) for _ in range(5)]
    assert error(after) < min(nudged)


def test_cut_models_are_saved_opened_exported_and_learn_on(backbone: Backbone, tmp_path: Path) -> None:
    batches: list[Batch] = [feed(backbone).batch(number) for number in range(3)]
    objective = Contrastive(backbone.model, backbone.pooling)
    kept = prune(
        backbone.model, Cut(heads=0.25, neurons=0.4), objective, batches, calibration=calibration(backbone)
    )
    assert sum(len(k) for site, k in kept.items() if site.part == "neurons") == 128 - round(0.4 * 128)
    assert sum(len(k) for site, k in kept.items() if site.part == "heads") == 3
    wanted = vectors(backbone, SHELF)
    backbone.save(tmp_path / "cut")
    for purpose in ("encoder", "masked"):
        again = open_backbone(str(tmp_path / "cut"), purpose)
        torch.testing.assert_close(vectors(again, SHELF), wanted, rtol=0, atol=1e-6)
    from transformers import AutoModel

    # who does not know the key reads nothing
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        AutoModel.from_pretrained(tmp_path / "cut")
    again.save(tmp_path / "again")
    outcome = train(
        [Term("pairs", Contrastive(again.model.base_model, "mean"), feed(again))],
        Schedule(40, learning_rate=3e-3), place=HERE, folder=tmp_path / "job", key="",
    )  # fmt: skip
    losses = [figures["loss"] for _, figures in outcome.history]
    assert np.mean(losses[-10:]) < np.mean(losses[:10])
    third = open_backbone(str(tmp_path / "again"), "encoder")
    torch.testing.assert_close(vectors(third, SHELF), wanted, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_what_serves_is_the_small_one(backbone: Backbone, tmp_path: Path) -> None:
    batches = [feed(backbone).batch(number) for number in range(2)]
    whole = sum(p.numel() for name, p in backbone.model.named_parameters() if "pooler" not in name)
    prune(backbone.model, Cut(0.5, 0.5), Contrastive(backbone.model, backbone.pooling), batches)
    backbone.save(tmp_path / "cut")
    export_encoder(tmp_path / "small", str(tmp_path / "cut"), max_tokens=MAX_TOKENS)
    small = artifacts.load(tmp_path / "small", "encoder")
    stored = onnx.load(small.folder / "model.onnx").graph.initializer
    numbers = sum(int(np.prod(array.dims)) for array in stored if array.data_type == onnx.TensorProto.FLOAT)
    parameters = {name: p.numel() for name, p in backbone.model.named_parameters() if "pooler" not in name}
    # the exporter folds a few constants: it may store some fewer, and hardly more
    assert 0.95 * sum(parameters.values()) < numbers < sum(parameters.values()) + 20 < whole
    got = OnnxEncoder.load(small, threads=1).encode(SHELF)
    np.testing.assert_allclose(got, vectors(backbone, SHELF).numpy(), atol=1e-5)


def small_model(kind: str) -> Any:
    from transformers import AutoModel, DistilBertConfig, LlamaConfig, MPNetConfig

    size: dict[str, Any] = {
        "vocab_size": 50,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    configs = {
        "distilbert": DistilBertConfig(vocab_size=50, dim=16, n_layers=2, n_heads=2, hidden_dim=24),
        "mpnet": MPNetConfig(**size, intermediate_size=24),
        "llama": LlamaConfig(**size, intermediate_size=24, num_key_value_heads=1),
    }
    make: Any = AutoModel.from_config
    return make(configs[kind])


@pytest.mark.parametrize(
    ("kind", "parts"),
    [("distilbert", ("heads", "neurons")), ("mpnet", ("neurons",)), ("llama", ("neurons",))],
)
def test_other_families_lose_what_can_be_taken_from_them(kind: str, parts: tuple[str, ...]) -> None:
    model = small_model(kind).eval()
    closed = copy.deepcopy(model)
    for part in parts:
        for site in sites(model, part):
            stay = torch.arange(columns(model, site) // 2)
            shut(closed, site, stay)
            take_columns(model, site, stay)
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        torch.testing.assert_close(model(ids)[0], closed(ids)[0], rtol=1e-4, atol=1e-5)
    if "heads" not in parts:
        with pytest.raises(InvalidInput, match="heads"):
            sites(model, "heads")


def test_wishes_that_make_no_sense_are_told(backbone: Backbone) -> None:
    for shares in ((0.0, 0.0), (1.0, 0.0), (-0.1, 0.2)):
        with pytest.raises(InvalidInput, match="shares"):
            Cut(*shares)
    with pytest.raises(InvalidInput, match="at least one"):
        importance(backbone.model, sites(backbone.model, "heads"), Contrastive(backbone.model, "mean"), [])
