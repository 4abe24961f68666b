"""`honeyguide fit` with a language model of the shop's own: made once, resumed after a kill, read by what serves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from honeyguide import artifacts
from honeyguide.artifacts import write_atomically
from honeyguide.config import FILE_NAME, Adapt, Training
from honeyguide.fit import fit
from honeyguide.plm.card import Card, render_card
from honeyguide.plm.export import find_checkpoint
from honeyguide.plm.files import CARD, LANGUAGE_MODEL
from honeyguide.plm.track import read_figures
from honeyguide.shop.workspace import Workspace, settings_toml
from honeyguide.types import Progress, silent
from tests.fitted import copy_of, fitted_shop
from tests.shop_fixture import NOW, SPLIT

STAGE = "Adapt the language model to the shop"
STEPS = 12


class Watched:
    """Remembers which stages were opened, and interrupts the adapting after so many steps."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.opened: list[str] = []
        self.stop_at = stop_at

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        self.opened.append(name)

        def stop(done: int, total: int) -> None:
            if done == self.stop_at:
                raise KeyboardInterrupt

        yield stop if name == STAGE else silent


def adapting(base: Path, target: Path) -> Workspace:
    target.mkdir()
    workspace = Workspace.at(copy_of(fitted_shop(base), target))
    adapt = Adapt(
        steps=STEPS,
        following=0.2,
        batch_tokens=512,
        batch_pairs=8,
        look_every=4,
        learning_rate=1e-3,
    )
    text = settings_toml(replace(workspace.settings, adapt=adapt, training=Training(precision="float32")))
    write_atomically(workspace.root / FILE_NAME, text.encode())
    return workspace


@pytest.mark.slow
def test_a_fit_adapts_the_language_model_once_and_a_kill_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    base = tmp_path_factory.getbasetemp()
    whole = adapting(base, tmp_path / "whole")
    encoder = artifacts.current(whole.models, "encoder")
    fit(whole, now=NOW, until=SPLIT)
    made = artifacts.load(whole.models, LANGUAGE_MODEL)
    assert artifacts.current(whole.models, "encoder") != encoder
    watched = Watched()
    fit(whole, now=NOW, until=SPLIT, stage=watched.stage)
    assert STAGE not in watched.opened

    broken = adapting(base, tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        fit(broken, now=NOW, until=SPLIT, stage=Watched(7).stage)
    assert not artifacts.exists(broken.models, LANGUAGE_MODEL)
    fit(broken, now=NOW, until=SPLIT)
    again = artifacts.load(broken.models, LANGUAGE_MODEL)
    weights = "model.safetensors"
    assert (again.folder / weights).read_bytes() == (made.folder / weights).read_bytes()
    assert not (broken.cache / "adapt" / "checkpoints").exists()
    curve = made.arrays["curve.loss"]
    assert curve[:, 0].tolist() == list(range(1, len(curve) + 1))
    assert [
        s for s, _ in read_figures(broken.cache / "adapt" / "figures" / "figures.jsonl")["loss"]
    ] == curve[:, 0].tolist()


@pytest.mark.slow
def test_the_artefact_is_a_checkpoint_with_a_card_that_says_what_was_measured(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    workspace = adapting(tmp_path_factory.getbasetemp(), tmp_path / "shop")
    fit(workspace, now=NOW, until=SPLIT)
    made = artifacts.load(workspace.models, LANGUAGE_MODEL)
    assert find_checkpoint(str(made.folder)) == made.folder
    card = (made.folder / CARD).read_text()
    assert f"{made.meta['before']:.1f}" in card
    assert f"{made.meta['after']:.1f}" in card
    assert made.meta["after"] < made.meta["before"]
    assert np.isfinite(made.arrays["curve.perplexity"]).all()
    assert json.loads((made.folder / "pooling.json").read_text())["pooling_mode_mean_tokens"] is True


def test_a_card_holds_all_that_it_was_given() -> None:
    card = Card("T", "base", "does things", ("texts",), ("AdamW",), (("perplexity", "9.5"),), ("few",))
    page = render_card(card)
    for said in ("# T", "`base`", "does things", "- texts", "- AdamW", "| perplexity | 9.5 |", "- few"):
        assert said in page
    assert "## Figures" not in render_card(replace(card, figures=()))
