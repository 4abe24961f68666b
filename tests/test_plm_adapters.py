"""Adapters begin as nothing, sit where the papers put them, and merge where algebra allows it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from honeyguide.plm.adapters.bank import Adapters, fingerprint
from honeyguide.plm.adapters.bottleneck import Bottleneck
from honeyguide.plm.adapters.lowrank import AdaLora, Lora
from honeyguide.plm.adapters.sites import layers, linears
from honeyguide.plm.adapters.way import Placed, Way
from tests.tiny_families import FAMILIES, IDS, MASK, learn, says, tiny

BESIDE: list[Way] = [Bottleneck("houlsby", 6), Bottleneck("pfeiffer", 6), Lora(3), AdaLora(2, 4)]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("way", BESIDE, ids=lambda way: way.name)
def test_an_adapter_begins_as_nothing_and_leaves_the_base_alone(family: str, way: Way) -> None:
    model = tiny(family)
    before = says(model)
    weights = {name: tensor.clone() for name, tensor in model.named_parameters()}
    placed = Adapters(model).add("task", way)
    assert torch.equal(says(model), before)
    learned = {name for name, p in model.named_parameters() if p.requires_grad}
    assert len(learned) == len(placed.own)
    assert not learned & weights.keys()
    hidden = model.train()(input_ids=IDS, attention_mask=MASK).last_hidden_state
    hidden.square().sum().backward()
    assert all(p.grad is not None for p in placed.own.values())
    assert any(p.grad.any() for p in placed.own.values() if p.grad is not None)
    learn(placed)
    assert not torch.allclose(says(model), before, atol=1e-3)
    now = dict(model.named_parameters())
    for name, tensor in weights.items():
        kept = now.get(name, now.get(".base_layer.".join(name.rsplit(".", 1))))
        assert kept is not None
        assert torch.equal(kept, tensor), name


def by_hand(model: Any, kind: str, placed: Placed, ids: torch.Tensor) -> torch.Tensor:
    """What a BERT with bottlenecks says, written out layer by layer."""

    def detour(place: str, hidden: torch.Tensor) -> torch.Tensor:
        own = placed.own
        down = torch.relu(hidden @ own[f"{place}.down.weight"].T + own[f"{place}.down.bias"])
        return down @ own[f"{place}.up.weight"].T + own[f"{place}.up.bias"]

    def linear(module: Any, hidden: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(hidden, module.weight, module.bias)

    def norm(module: Any, hidden: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.layer_norm(
            hidden, hidden.shape[-1:], module.weight, module.bias, module.eps
        )

    hidden: torch.Tensor = model.embeddings(input_ids=ids)
    for number, layer in enumerate(model.encoder.layer):
        name = f"encoder.layer.{number}"
        attended = layer.attention.self(hidden)[0]
        out = linear(layer.attention.output.dense, attended)
        if kind == "houlsby":
            out = out + detour(f"{name}.attention.output.dense", out)
        middle = norm(layer.attention.output.LayerNorm, out + hidden)
        out = linear(layer.output.dense, layer.intermediate(middle))
        if kind == "houlsby":
            out = out + detour(f"{name}.output.dense", out)
            hidden = norm(layer.output.LayerNorm, out + middle)
        else:
            normed = norm(layer.output.LayerNorm, out + middle)
            hidden = norm(layer.output.LayerNorm, out + middle + detour(f"{name}.output.LayerNorm", normed))
    return hidden


@pytest.mark.parametrize("kind", ["houlsby", "pfeiffer"])
def test_bottlenecks_sit_where_the_papers_put_them(kind: Any) -> None:
    model = tiny("Bert")
    placed = Adapters(model).add("task", Bottleneck(kind, 6))
    learn(placed)
    with torch.no_grad():
        wanted = by_hand(model, kind, placed, IDS)
        found = model(input_ids=IDS).last_hidden_state
    torch.testing.assert_close(found, wanted)
    assert len(placed.own) == 4 * 2 * (2 if kind == "houlsby" else 1)


def test_where_the_norm_comes_first_pfeiffer_adds_to_the_layers_output() -> None:
    model = tiny("Llama")
    seen: list[torch.Tensor] = []
    model.layers[-1].register_forward_hook(lambda module, args, output: seen.append(output))
    base = says(model)
    placed = Adapters(model).add("task", Bottleneck("pfeiffer", 6))
    with torch.no_grad():
        for name, parameter in placed.own.items():
            if name.startswith("layers.1."):
                parameter.add_(0.3)
    says(model)
    own, before = placed.own, seen[0]
    with torch.no_grad():
        down = torch.relu(before @ own["layers.1.down.weight"].T + own["layers.1.down.bias"])
        wanted = model.norm(before + down @ own["layers.1.up.weight"].T + own["layers.1.up.bias"])
    torch.testing.assert_close(says(model), wanted)
    assert not torch.allclose(wanted, base)


def test_a_way_up_that_does_not_begin_at_zero_would_be_seen() -> None:
    model = tiny("Bert")
    before = says(model)
    placed = Adapters(model).add("task", Bottleneck("houlsby", 6))
    with torch.no_grad():
        placed.own["encoder.layer.0.output.dense.up.bias"].add_(1e-3)
    assert not torch.equal(says(model), before)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("way", [Lora(3), AdaLora(2, 4)], ids=lambda way: way.name)
def test_a_low_rank_adapter_merges_into_a_plain_model(family: str, way: Way) -> None:
    model = tiny(family)
    names = set(model.state_dict())
    adapters = Adapters(model)
    before = fingerprint(model)
    learn(adapters.add("task", way))
    with torch.no_grad():  # as small as what training adds
        for parameter in adapters.placed("task").own.values():
            parameter.mul_(0.3)
    wanted = says(model)
    adapters.merge("task")
    assert set(model.state_dict()) == names
    assert adapters.names == ()
    assert adapters.base == fingerprint(model) != before
    torch.testing.assert_close(says(model), wanted, atol=1e-5, rtol=1e-5)


def test_a_copy_of_a_model_has_adapters_of_its_own() -> None:
    model = tiny("Bert")
    placed = Adapters(model).add("task", Bottleneck("pfeiffer", 6))
    learn(placed)
    other = copy.deepcopy(model)
    wanted = says(other)
    learn(placed, seed=1)
    assert torch.equal(says(other), wanted)
    assert not torch.equal(says(model), wanted)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_linear_map_of_the_layers_is_found_once(family: str) -> None:
    model = tiny(family)
    names = linears(model)
    stack = layers(model)[0].name.rsplit(".", 1)[0]
    wanted = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.startswith(stack)]
    assert list(names) == wanted
    Adapters(model).add("a", Bottleneck("houlsby", 4))
    assert linears(model) == names
    Adapters(model).add("b", Lora(2))
    assert sorted(linears(model)) == sorted(names)


def test_ranks_fall_to_the_budget_and_stay_there() -> None:
    model = tiny("Bert")
    placed = Adapters(model).add("task", AdaLora(2, 5), steps=40)
    optimiser = torch.optim.AdamW(placed.own.values(), lr=1e-2)
    target = torch.randn(3, 7, 16, generator=torch.Generator().manual_seed(1))
    alive = []
    for step in range(1, 41):
        optimiser.zero_grad()
        hidden = model.train()(input_ids=IDS, attention_mask=MASK).last_hidden_state
        penalty = placed.penalty()
        assert penalty is not None
        ((hidden - target).square().mean() + penalty).backward()
        optimiser.step()
        placed.after_step(step)
        alive.append(sum(int((p != 0).sum()) for name, p in placed.own.items() if name.endswith("lora_E")))
    maps = len(linears(model))
    assert alive[3] == 5 * maps
    assert alive[19:] == [2 * maps] * 21
    assert alive == sorted(alive, reverse=True)
