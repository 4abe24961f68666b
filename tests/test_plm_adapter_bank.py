"""Adapters keep to themselves, are stored alone, and come back to the bit; what is not theirs is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from honeyguide.errors import DamagedArtifact, InvalidInput
from honeyguide.plm.adapters.bank import Adapters
from honeyguide.plm.adapters.bottleneck import Bottleneck
from honeyguide.plm.adapters.lowrank import AdaLora, Lora
from honeyguide.plm.adapters.way import Full, HeadOnly, Way
from tests.tiny_families import IDS, MASK, learn, says, tiny

BESIDE: list[Way] = [Bottleneck("houlsby", 6), Bottleneck("pfeiffer", 6), Lora(3), AdaLora(2, 4)]
WAYS: list[Way] = [*BESIDE, Full(), HeadOnly()]


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
