"""Speed is counted in tokens that were read, and in products that the model cannot do without."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from honeyguide.errors import InvalidInput
from honeyguide.plm.backbone import open_backbone
from honeyguide.plm.train.feeds import tokens_in
from honeyguide.plm.train.loop import train
from honeyguide.plm.train.schedule import Schedule
from honeyguide.plm.train.terms import Term
from honeyguide.plm.train.throughput import Speed, flops_per_token, mfu, model_flops, peak_flops
from tests.test_plm_loop import HERE, Line, Points
from tests.tiny_bert import save_tiny_bert

CPU = torch.device("cpu")


def test_bert_base_costs_what_the_paper_counts() -> None:
    """85,054,464 parameters in twelve layers of 768: 6 x these and 12 x 12 x 768 x 128 for attention."""
    assert flops_per_token(85_054_464, 12, 768, 128) == 510_326_784 + 14_155_776
    assert flops_per_token(85_054_464, 12, 768, 128, passes=1) == (510_326_784 + 14_155_776) / 3


def test_a_model_costs_what_its_products_take(tmp_path: Path) -> None:
    """Counted as they are made: what is not a product of matrices (biases, norms) is the small difference."""
    from torch.utils.flop_counter import FlopCounterMode

    model = open_backbone(str(save_tiny_bert(tmp_path)), "encoder").model.base_model.eval()
    model.pooler = None
    model.set_attn_implementation("eager")  # one whose products can be seen
    ids = torch.ones((3, 16), dtype=torch.long)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(input_ids=ids)
    assert model_flops(model, 16, passes=1) == pytest.approx(
        counter.get_total_flops() / ids.numel(), rel=0.05
    )
    assert model_flops(model, 16) == 3 * model_flops(model, 16, passes=1)


@pytest.mark.parametrize(
    ("name", "dtype", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", torch.bfloat16, 989e12),
        ("NVIDIA H100 80GB HBM3", torch.float32, 67e12),
        ("NVIDIA H100 PCIe", torch.bfloat16, 756e12),
        ("NVIDIA H200", torch.bfloat16, 989e12),
        ("NVIDIA A100-SXM4-80GB", torch.bfloat16, 312e12),
        ("NVIDIA A100 80GB PCIe", torch.float32, 19.5e12),
        ("NVIDIA A10", torch.bfloat16, 125e12),
        ("NVIDIA L4", torch.bfloat16, 121e12),
        ("NVIDIA L40S", torch.bfloat16, 362e12),
        ("Tesla T4", torch.float16, 65e12),
        ("Tesla T4", torch.bfloat16, None),  # it has no products of that
        ("Tesla V100-SXM2-16GB", torch.float16, 125e12),
        ("NVIDIA GeForce RTX 4090", torch.bfloat16, 165e12),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", torch.bfloat16, None),
        ("NVIDIA GeForce RTX 3090 Ti", torch.bfloat16, None),
        ("NVIDIA H100 NVL", torch.bfloat16, None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", torch.bfloat16, None),
        ("NVIDIA A10G", torch.bfloat16, None),
        ("NVIDIA L40", torch.bfloat16, None),
        ("abacus", torch.float32, None),
    ],
)
def test_a_peak_is_that_of_the_very_card(name: str, dtype: torch.dtype, peak: float | None) -> None:
    assert peak_flops(name, dtype) == peak


def test_utilisation_is_a_share_of_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
    assert mfu(989e3, 5e8, torch.device("cuda", 0), torch.bfloat16) == pytest.approx(0.5)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "abacus")
    assert mfu(1e6, 1e9, torch.device("cuda", 0), torch.bfloat16) is None
    assert mfu(1e6, 1e9, CPU, torch.bfloat16) is None


def test_padding_is_no_token() -> None:
    mask = np.array([[1, 1, 0], [1, 1, 1]])
    assert tokens_in({"ids": np.ones((2, 3)), "mask": mask}) == 5
    assert tokens_in({"first": np.ones((2, 3)), "first_mask": mask, "second_mask": mask[:1]}) == 7
    assert tokens_in({"ids": np.ones((2, 3))}) == 6


def test_the_tracker_hears_how_many_tokens_a_second_were_learned_from(tmp_path: Path) -> None:
    """A clock that ticks a quarter of a second when it is looked at: four looks a step, two quarters between them.

    A batch is 16 x 6 numbers, of which a step learns from two; what is told to the tracker alone is in no history.
    """
    ticks, seen, speed = iter(np.arange(0, 100, 0.25).tolist()), [], Speed()

    class Both:
        def log(self, step: int, figures: Mapping[str, float]) -> None:
            seen.append(figures["tokens_per_second"])
            speed.log(step, figures)

        def close(self) -> None:
            speed.close()

    outcome = train(
        [Term("line", Line(), Points())], Schedule(3, accumulate=2), place=HERE, folder=tmp_path, key="",
        tracker=Both(), clock=lambda: next(ticks),
    )  # fmt: skip
    assert seen == [2 * 96 / 0.5] * 3
    assert speed.tokens_per_second == 384.0
    assert not any("tokens_per_second" in figures for _, figures in outcome.history)


def test_speed_is_the_median_once_warm() -> None:
    speed = Speed()
    with pytest.raises(InvalidInput, match="no step was logged"):
        _ = speed.tokens_per_second
    for value in (1.0, 2.0, 3.0, 30.0, 10.0, 20.0):
        speed.log(1, {"tokens_per_second": value})
    assert speed.tokens_per_second == 20.0
    once = Speed()
    once.log(1, {"tokens_per_second": 7.0})
    assert once.tokens_per_second == 7.0
