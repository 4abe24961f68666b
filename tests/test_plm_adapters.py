"""Adapters begin as nothing, keep to themselves, and come back to the bit."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from honeyguide.errors import DamagedArtifact, InvalidInput
from honeyguide.plm.adapters.bank import Adapters, fingerprint
from honeyguide.plm.adapters.bottleneck import Bottleneck
from honeyguide.plm.adapters.lowrank import AdaLora, Lora
from honeyguide.plm.adapters.sites import layers, linears
from honeyguide.plm.adapters.way import Full, HeadOnly, Placed, Way
from honeyguide.plm.export import quiet

BESIDE: list[Way] = [Bottleneck("houlsby", 6), Bottleneck("pfeiffer", 6), Lora(3), AdaLora(2, 4)]
WAYS: list[Way] = [*BESIDE, Full(), HeadOnly()]
IDS = torch.arange(21).reshape(3, 7) % 17 + 5
MASK = torch.ones_like(IDS)
MASK[1:, -2:] = 0
COMMON: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 32, "initializer_range": 0.3,
}  # fmt: skip
OTHER: dict[str, dict[str, Any]] = {
    "DistilBert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24},
    "ModernBert": {
        "pad_token_id": 0,
        "bos_token_id": 1,
        "cls_token_id": 1,
        "eos_token_id": 2,
        "sep_token_id": 2,
    },
    "Llama": {"num_key_value_heads": 1},
}


def tiny(family: str) -> Any:
    """A model of a family with random weights, always the same."""
    import transformers

    told = {**COMMON, **OTHER.get(family, {})}
    if family == "DistilBert":
        told = {key: told[key] for key in ("vocab_size", "initializer_range", *OTHER[family])}
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(3)
        config: Any = getattr(transformers, f"{family}Config")(**told)
        made: Any = getattr(transformers, f"{family}Model")(config)
    return made.eval()


FAMILIES = ["Bert", "Roberta", "MPNet", "Electra", "DistilBert", "ModernBert", "Llama"]


def says(model: Any) -> torch.Tensor:
    with torch.no_grad():
        hidden: torch.Tensor = model.eval()(input_ids=IDS, attention_mask=MASK).last_hidden_state
    return hidden


def learn(placed: Placed, seed: int = 0) -> None:
    """Move an adapter's parameters to somewhere, as training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in placed.own.values():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))


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


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_an_adapter_alone_is_stored_and_comes_back_to_the_bit(way: Way, tmp_path: Path) -> None:
    model = tiny("Bert")
    adapters = Adapters(model)
    learn(adapters.add("task", way))
    adapters.save("task", tmp_path)
    wanted = says(model)
    fresh = tiny("Bert")
    loaded = Adapters(fresh)
    assert loaded.load(tmp_path) == "task"
    assert torch.equal(says(fresh), wanted)
    assert not any(p.requires_grad for p in loaded.placed("task").own.values())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter.safetensors", "manifest.json"]
    stored = sum(tensor.numel() for tensor in load_file(tmp_path / "adapter.safetensors").values())
    whole = sum(p.numel() for name, p in tiny("Bert").named_parameters() if not name.startswith("pooler"))
    assert stored == whole if way.name == "full" else stored < whole / 2


def test_several_adapters_share_a_base_and_do_not_touch_each_other(tmp_path: Path) -> None:
    """Each says among others what it says alone, whatever was used before; with none the base speaks."""
    base = says(tiny("Bert"))
    ways: dict[str, Way] = {
        "wide": Bottleneck("houlsby", 8), "narrow": Bottleneck("houlsby", 4), "last": Bottleneck("pfeiffer", 4),
        "low": Lora(3), "lower": Lora(2),
    }  # fmt: skip
    alone = {}
    for seed, (name, way) in enumerate(ways.items()):
        model = tiny("Bert")
        adapters = Adapters(model)
        learn(adapters.add(name, way), seed)
        adapters.save(name, tmp_path / name)
        alone[name] = says(model)
    model = tiny("Bert")
    together = Adapters(model)
    for name in ways:
        together.load(tmp_path / name)
    assert together.names == tuple(ways)
    for name in ["narrow", "low", "wide", "lower", "last", "wide", "low"]:
        together.use(name)
        assert torch.equal(says(model), alone[name]), name
        together.use(None)
        assert torch.equal(says(model), base)
    together.use("low")
    together.save("low", tmp_path / "again")
    for file in ("adapter.safetensors", "manifest.json"):
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / "low" / file).read_bytes()


def test_a_second_adapter_learns_while_the_first_stays_as_it_is() -> None:
    model = tiny("Bert")
    adapters = Adapters(model)
    first = adapters.add("first", Lora(3))
    learn(first)
    frozen = {name: p.clone() for name, p in first.own.items()}
    second = adapters.add("second", Lora(2))
    assert {id(p) for p in model.parameters() if p.requires_grad} == {id(p) for p in second.own.values()}
    model.train()(input_ids=IDS, attention_mask=MASK).last_hidden_state.sum().backward()
    assert all(p.grad is None for p in first.own.values())
    adapters.use("first")
    assert all(torch.equal(p, frozen[name]) for name, p in first.own.items())


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


def test_bad_wishes_are_told(tmp_path: Path) -> None:
    adapters = Adapters(tiny("Bert"))
    with pytest.raises(InvalidInput, match="name must match"):
        adapters.add("A b", Lora())
    with pytest.raises(InvalidInput, match="no adapter 'x': choose from none"):
        adapters.use("x")
    learn(adapters.add("one", Bottleneck("pfeiffer", 4)))
    with pytest.raises(InvalidInput, match="already"):
        adapters.add("one", Lora())
    with pytest.raises(InvalidInput, match="cannot be merged"):
        adapters.merge("one")
    with pytest.raises(InvalidInput, match="open it anew"):
        adapters.add("all", Full())
    adapters.add("two", Lora(2))
    with pytest.raises(InvalidInput, match="change the base under one"):
        adapters.merge("two")
    for bad in ({"rank": 0}, {"alpha": 0.0}, {"dropout": 1.0}):
        with pytest.raises(InvalidInput, match=next(iter(bad))):
            Lora(**bad)
    with pytest.raises(InvalidInput, match="start must be above"):
        AdaLora(8, 8)
    with pytest.raises(InvalidInput, match="at least 10 steps"):
        Adapters(tiny("Bert")).add("x", AdaLora(), steps=5)
    with pytest.raises(InvalidInput, match="width"):
        Bottleneck("houlsby", 0)
    with pytest.raises(InvalidInput, match="houlsby or pfeiffer"):
        Bottleneck("parallel")  # type: ignore[arg-type]
    odd = tiny("Bert")
    odd.encoder.layer[0].output = torch.nn.Identity()
    with pytest.raises(InvalidInput, match="not known where adapters go in a bert model"):
        Adapters(odd).add("x", Lora())


def test_what_is_damaged_or_not_of_this_base_is_not_loaded(tmp_path: Path) -> None:
    adapters = Adapters(tiny("Bert"))
    learn(adapters.add("task", Lora(2)))
    adapters.save("task", tmp_path)
    other = tiny("Bert")
    with torch.no_grad():
        other.embeddings.word_embeddings.weight[0, 0] += 1e-3
    with pytest.raises(InvalidInput, match="another base"):
        Adapters(other).load(tmp_path)
    manifest, tensors = tmp_path / "manifest.json", tmp_path / "adapter.safetensors"
    told, data = manifest.read_text(), bytearray(tensors.read_bytes())
    data[-1] ^= 1
    tensors.write_bytes(bytes(data))
    with pytest.raises(DamagedArtifact, match="not what was written"):
        Adapters(tiny("Bert")).load(tmp_path)
    data[-1] ^= 1
    tensors.write_bytes(bytes(data))
    for wrong, words in (({"format": 9}, "Upgrade"), ({"way": "magic"}, "no way of training")):
        manifest.write_text(json.dumps({**json.loads(told), **wrong}))
        with pytest.raises(DamagedArtifact, match=words):
            Adapters(tiny("Bert")).load(tmp_path)
    manifest.write_text(told[:20])
    with pytest.raises(DamagedArtifact, match="no adapter that can be read"):
        Adapters(tiny("Bert")).load(tmp_path)
