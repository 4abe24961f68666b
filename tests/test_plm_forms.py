"""What is stored to serve: in the form that was asked for, past the gate; and texts that begin as they should."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from honeyguide import artifacts
from honeyguide.checks.encoder import CHECKS_ENCODER, EncoderCheck
from honeyguide.errors import InvalidInput, NoArtifact, QualityLost
from honeyguide.plm import export as exporting
from honeyguide.plm.corpus import ItemPairs
from honeyguide.plm.encoder import OnnxEncoder
from honeyguide.plm.export import EncoderFiles, prompts_of
from honeyguide.plm.files import CARD, GRAPH, TOKENIZER
from honeyguide.plm.forms import Form, store_encoder
from honeyguide.plm.serving import open_encoder
from honeyguide.plm.static import StaticEncoder
from tests.tiny_bert import MAX_TOKENS, WORDS, save_tiny_bert, tiny_artifact

RNG = np.random.default_rng(0)
SHOP = [" ".join(RNG.choice(WORDS, 1 + i % 6)) for i in range(300)]
PROMPTS = {"passage": "a hand of ", "query": "dog "}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_bert(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(autouse=True)
def exported(monkeypatch: pytest.MonkeyPatch) -> None:
    """What exporting the tiny checkpoint gives was made once for all tests."""
    folder = tiny_artifact().folder
    key = str(tiny_artifact().meta["key"])
    files = EncoderFiles(
        (folder / GRAPH).read_bytes(), (folder / TOKENIZER).read_bytes(), 32, MAX_TOKENS, key
    )
    monkeypatch.setattr(exporting, "export", lambda checkpoint, *, max_tokens: files)


def store(root: Path, checkpoint: Path, form: Form, texts: list[str] = SHOP) -> str:
    return store_encoder(root, str(checkpoint), form, max_tokens=MAX_TOKENS, texts=texts)


def test_a_form_is_stored_with_what_it_keeps(checkpoint: Path, tmp_path: Path) -> None:
    version = store(tmp_path, checkpoint, Form("int8", 24, tolerance=0.2))
    stored = artifacts.load(tmp_path, "encoder")
    assert stored.version == version
    assert (stored.meta["form"], stored.meta["dim"]) == ("int8", 24)
    assert "recall@10" in stored.meta["parity"]
    encoder = OnnxEncoder.load(stored, threads=1)
    assert encoder.encode(SHOP[:3]).shape == (3, 24)
    assert (stored.folder / GRAPH).stat().st_size < (tiny_artifact().folder / GRAPH).stat().st_size


def test_the_form_as_exported_is_the_artefact_it_always_was(checkpoint: Path, tmp_path: Path) -> None:
    assert store(tmp_path, checkpoint, Form()) == tiny_artifact().version


def test_what_loses_too_much_is_not_stored(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(NoArtifact):
        artifacts.load(tmp_path, "encoder")
    before = store(tmp_path, checkpoint, Form("int8", tolerance=0.5))
    with pytest.raises(QualityLost, match=r"\[plm\] tolerance"):
        store(tmp_path, checkpoint, Form("int8", 2))
    assert artifacts.current(tmp_path, "encoder") == before
    assert artifacts.versions(tmp_path, "encoder") == [before]


def test_it_is_made_once_for_these_texts_and_settings(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = Form("int8", tolerance=0.5)
    version = store(tmp_path, checkpoint, form)
    monkeypatch.setattr(exporting, "export", None)  # calling it would fail
    assert store(tmp_path, checkpoint, form) == version
    for other in (Form("int8", tolerance=0.4), Form("int8", 16, tolerance=0.5)):
        with pytest.raises(TypeError):
            store(tmp_path, checkpoint, other)
    with pytest.raises(TypeError):
        store(tmp_path, checkpoint, form, SHOP[:200])


@pytest.mark.parametrize(
    "texts", [[], [""], ["red wine"], ["red wine", "red wine", " "], ["red wine", "soap"]]
)
def test_a_shop_with_next_to_nothing_is_served_too(
    checkpoint: Path, tmp_path: Path, texts: list[str]
) -> None:
    store(tmp_path, checkpoint, Form("int8", 8), texts)
    stored = artifacts.load(tmp_path, "encoder")
    assert OnnxEncoder.load(stored, threads=1).encode(["red wine"]).shape == (1, 8)
    assert "parity" not in stored.meta


def test_a_table_of_words_is_a_form_too(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cache"):
        store(tmp_path, checkpoint, Form("static"))
    form = Form("static", 16, tolerance=0.9)
    texts = [*SHOP, ""]
    version = store_encoder(
        tmp_path, str(checkpoint), form, max_tokens=MAX_TOKENS, texts=texts, cache=tmp_path / "cache"
    )
    stored = artifacts.load(tmp_path, "encoder")
    encoder = open_encoder(stored)
    assert isinstance(encoder, StaticEncoder)
    assert (stored.version, stored.meta["form"], stored.meta["dim"]) == (version, "static", 16)
    assert "recall@10" in stored.meta["parity"]
    assert encoder.encode(SHOP[:3]).shape == (3, 16)


def test_the_gate_asks_for_what_users_took_together_where_they_say_enough(
    checkpoint: Path, tmp_path: Path
) -> None:
    rows = np.arange(len(SHOP))
    few = ItemPairs(rows[:-2], rows[2:])
    many = ItemPairs(np.concatenate([rows] * 8), np.concatenate([np.roll(rows, 2 * k) for k in range(1, 9)]))
    said = []
    for name, pairs in (("none", None), ("few", few), ("many", many)):
        store_encoder(
            tmp_path / name, str(checkpoint), Form("int8", tolerance=0.9), max_tokens=MAX_TOKENS,
            texts=SHOP, pairs=pairs,
        )  # fmt: skip
        said.append(artifacts.load(tmp_path / name, "encoder").meta["parity"])
    assert said[0] == said[1] != said[2]
    assert "against 1.0000" in said[0]  # its own nearest are found by the reference itself
    assert "against 1.0000" not in said[2]


def test_what_is_compared_with_may_be_another_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    other = save_tiny_bert(tmp_path / "other")  # the same weights elsewhere: nothing is lost
    version = store_encoder(
        tmp_path / "models", str(checkpoint), Form(), max_tokens=MAX_TOKENS, texts=SHOP, reference=str(other)
    )
    stored = artifacts.load(tmp_path / "models", "encoder")
    assert stored.version == version
    assert "recall@10 1.0000 against 1.0000" in stored.meta["parity"]
    assert stored.meta["parity"] in (stored.folder / CARD).read_text()


def test_forms_that_are_not_there_are_told() -> None:
    with pytest.raises(InvalidInput, match="fp32, int8"):
        Form("int4")
    with pytest.raises(InvalidInput, match="dim"):
        Form(dim=-1)
    with pytest.raises(InvalidInput, match="tolerance"):
        Form(tolerance=1.0)


def with_prompts(tmp_path: Path) -> artifacts.Artifact:
    folder = tiny_artifact().folder
    meta = {**tiny_artifact().meta, "prompts": PROMPTS}
    files = {name: (folder / name).read_bytes() for name in (GRAPH, TOKENIZER)}
    artifacts.save(tmp_path, "encoder", {}, meta, files)
    return artifacts.load(tmp_path, "encoder")


def test_texts_begin_as_the_checkpoint_was_taught(tmp_path: Path) -> None:
    told = with_prompts(tmp_path)
    passage, query = (OnnxEncoder.load(told, threads=1, prompt=p) for p in ("passage", "query"))
    plain = OnnxEncoder.load(tiny_artifact(), threads=1)
    for encoder, prompt in ((passage, "a hand of "), (query, "dog ")):
        np.testing.assert_array_equal(encoder.encode(["wine"]), plain.encode([prompt + "wine"]))
        assert not encoder.encode(["", " \n"]).any()
    assert len({passage.version, query.version, plain.version}) == 3
    same = OnnxEncoder.load(tiny_artifact(), threads=1, prompt="query")
    assert same.version == plain.version  # nothing to begin with: the vectors are the same


@pytest.mark.parametrize("check", CHECKS_ENCODER, ids=lambda check: check.__name__)
def test_an_encoder_with_prompts_keeps_the_law(tmp_path: Path, check: EncoderCheck) -> None:
    told = with_prompts(tmp_path)
    check(lambda: OnnxEncoder.load(told, threads=1, prompt="query"))


def test_prompts_are_read_as_sentence_transformers_writes_them(checkpoint: Path, tmp_path: Path) -> None:
    assert prompts_of(checkpoint) == {}
    folder = Path(shutil.copytree(checkpoint, tmp_path / "told"))
    file = folder / "config_sentence_transformers.json"
    for text, wanted in (
        ('{"prompts": {"query": "q: ", "document": "d: "}}', {"passage": "d: ", "query": "q: "}),
        ('{"prompts": {"query": "q: "}}', {"passage": "", "query": "q: "}),
        ('{"prompts": {"query": "", "document": ""}}', {}),
        ('{"__version__": {}}', {}),
        ('{"prompts": null}', {}),
    ):
        file.write_text(text)
        assert prompts_of(folder) == wanted
        assert exporting._key(folder, 16) != exporting._key(checkpoint, 16)


@pytest.mark.slow
def test_prompts_travel_from_the_checkpoint_to_what_serves(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from honeyguide.plm.backbone import open_backbone

    monkeypatch.undo()
    folder = Path(shutil.copytree(checkpoint, tmp_path / "told"))
    (folder / "config_sentence_transformers.json").write_text('{"prompts": {"query": "dog "}}')
    open_backbone(str(folder), "encoder").save(tmp_path / "again")
    exporting.export_encoder(tmp_path / "models", str(tmp_path / "again"), max_tokens=MAX_TOKENS)
    assert artifacts.load(tmp_path / "models", "encoder").meta["prompts"] == {"passage": "", "query": "dog "}
