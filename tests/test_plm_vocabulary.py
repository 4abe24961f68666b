"""Fewer tokens: what the shop says is read as before and has the same vectors to the bit; the rest is spelled out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from honeyguide import artifacts
from honeyguide.errors import InvalidInput
from honeyguide.plm.backbone import open_backbone
from honeyguide.plm.compress.vocabulary import trim_vocabulary
from honeyguide.plm.encoder import OnnxEncoder
from honeyguide.plm.export import export_encoder
from tests.tiny_bert import MAX_TOKENS, WORDS, save_tiny_bert, tiny_encoder

SHOP = ["red wine", "organic milk, a hand of", "dry shampoo", "wine for hair", "mlk qz", ""]
OTHER = ["frozen pizza", "soap", "conditioner", "zzz dog", "pizza shampoo"]
LANGUAGE = [
    " ".join(np.random.default_rng(i).permutation([*WORDS, "ünter", "窗户", "winery"])) for i in range(60)
]


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=160, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], unk_token="<unk>"
    )
    tokenizer.train_from_iterator(LANGUAGE, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def byte_pairs() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(LANGUAGE, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer


def checkpoint_with(tokenizer: Tokenizer, folder: Path) -> Path:
    """A tiny BERT that reads with this tokenizer."""
    save_tiny_bert(folder)
    from safetensors.torch import load_file, save_file

    size = tokenizer.get_vocab_size()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": size, "pad_token_id": 1}))
    tensors = load_file(folder / "model.safetensors")
    tensors["embeddings.word_embeddings.weight"] = torch.randn(
        size, 32, generator=torch.Generator().manual_seed(0)
    )
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "vocab.txt").unlink(missing_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>"}
    told = {f"{name}_token": token for name, token in {**special, "mask": "<mask>"}.items()}
    told |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": "64"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**told, "model_max_length": 64}))
    return folder


KINDS: dict[str, Callable[[Path], Path]] = {
    "WordPiece": save_tiny_bert,
    "Unigram": lambda folder: checkpoint_with(unigram(), folder),
    "BPE": lambda folder: checkpoint_with(byte_pairs(), folder),
}


@pytest.fixture(scope="module", params=KINDS)
def trimmed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint, and the same with the tokens of SHOP only."""
    home = tmp_path_factory.mktemp("trim")
    whole = KINDS[request.param](home / "whole")
    found = trim_vocabulary(whole, SHOP, home / "small")
    assert found.after < found.before
    return whole, home / "small"


def hidden(folder: Path, texts: list[str]) -> list[torch.Tensor]:
    """Each text's hidden states, as transformers and the tokenizer of this folder have them."""
    backbone = open_backbone(str(folder), "encoder")
    model = backbone.model.eval()
    found = []
    with torch.no_grad():
        for text in texts:
            found.append(model(**backbone.tokenizer(text, return_tensors="pt")).last_hidden_state)
    return found


def test_the_shop_s_texts_have_the_same_vectors_to_the_bit(trimmed: tuple[Path, Path]) -> None:
    whole, small = trimmed
    for one, other in zip(hidden(whole, SHOP), hidden(small, SHOP), strict=True):
        assert torch.equal(one, other)


def test_pieces_are_the_same_and_what_is_not_known_is_spelled(trimmed: tuple[Path, Path]) -> None:
    old, new = (Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in trimmed)
    for text in SHOP:
        assert old.encode(text).tokens == new.encode(text).tokens
    for text in OTHER:
        spelled = new.encode(text)
        assert "".join(
            p.removeprefix("##").replace("▁", "").replace("Ġ", "") for p in spelled.tokens[1:-1]
        ) == (text.replace(" ", ""))
        assert len(spelled) >= len(old.encode(text))
    assert new.get_vocab_size() < old.get_vocab_size()
    special = {"[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]", "<s>", "</s>", "<pad>", "<unk>", "<mask>"}
    assert special & old.get_vocab().keys() == special & new.get_vocab().keys()
    assert all(not token.startswith("frozen") for token in new.get_vocab())


def test_special_tokens_and_sizes_agree_everywhere(trimmed: tuple[Path, Path]) -> None:
    whole, small = (open_backbone(str(folder), "masked") for folder in trimmed)
    for name in ("first", "last", "pad", "mask"):
        ids = [getattr(one.special, name) for one in (whole, small)]
        tokens = [one.tokenizer.convert_ids_to_tokens(i) for one, i in zip((whole, small), ids, strict=True)]
        assert tokens[0] == tokens[1]
    embeddings = small.model.get_input_embeddings()
    assert embeddings.num_embeddings == small.special.vocabulary == small.model.config.vocab_size
    assert small.model.config.pad_token_id == small.special.pad
    logits = small.model(torch.tensor([[small.special.first, small.special.last]])).logits
    assert logits.shape[-1] == small.special.vocabulary


def test_every_row_is_that_of_its_token(trimmed: tuple[Path, Path]) -> None:
    tables, words = [], []
    for folder in trimmed:
        backbone = open_backbone(str(folder), "encoder")
        tables.append(backbone.model.get_input_embeddings().weight)
        words.append(backbone.fast_tokenizer.get_vocab())
    assert words[1].keys() < words[0].keys()
    for token, row in words[1].items():
        assert torch.equal(tables[1][row], tables[0][words[0][token]])
    order = [words[0][token] for token in sorted(words[1], key=words[1].__getitem__)]
    assert order == sorted(order)


@pytest.mark.parametrize("kind", ["WordPiece", "Unigram", "BPE"])
def test_whatever_the_corpus_it_is_read_as_before(
    kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp(kind)
    whole = KINDS[kind](home / "whole")
    words = st.sampled_from([*WORDS, "ünter", "窗户", "winery", "w", "qq", "x,y", "🍮"])

    @given(corpus=st.lists(st.lists(words, max_size=6).map(" ".join), max_size=5))
    @settings(max_examples=25, deadline=None, derandomize=True)
    def law(corpus: list[str]) -> None:
        trim_vocabulary(whole, corpus, home / "small")  # raises where a text would be read in another way
        old, new = (Tokenizer.from_file(str(home / name / "tokenizer.json")) for name in ("whole", "small"))
        for text in corpus:
            assert old.encode(text).tokens == new.encode(text).tokens

    law()


def test_heads_lose_the_same_rows(tmp_path: Path) -> None:
    backbone = open_backbone(str(save_tiny_bert(tmp_path / "whole")), "masked", seed=3)
    backbone.save(tmp_path / "headed")
    trim_vocabulary(tmp_path / "headed", SHOP, tmp_path / "small")
    small = open_backbone(str(tmp_path / "small"), "masked", seed=4)
    texts = ["red wine", "dry milk"]
    for text in texts:
        ids = [one.tokenizer(text, return_tensors="pt").input_ids for one in (backbone, small)]
        with torch.no_grad():
            old, new = (m.model.eval()(i).logits[0] for m, i in zip((backbone, small), ids, strict=True))
        words = [one.tokenizer.get_vocab() for one in (backbone, small)]
        rows = [words[0][token] for token in sorted(words[1], key=words[1].__getitem__)]
        torch.testing.assert_close(old[:, rows], new)


def test_a_tokenizer_without_pieces_is_told(tmp_path: Path) -> None:
    folder = save_tiny_bert(tmp_path / "whole")
    told = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = told["model"]["vocab"]
    told["model"] = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"}
    (folder / "tokenizer.json").write_text(json.dumps(told))
    with pytest.raises(InvalidInput, match="WordLevel"):
        trim_vocabulary(folder, SHOP, tmp_path / "small")


def test_a_reading_that_would_change_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check itself: with the pieces of longer words gone, nothing may be written."""
    from honeyguide.plm.compress import vocabulary

    whole = checkpoint_with(byte_pairs(), tmp_path / "whole")
    monkeypatch.setattr(vocabulary, "_bpe", lambda model, used: iter(()))
    monkeypatch.setattr(vocabulary, "_used", lambda tokenizer, texts: iter(range(300)))
    with pytest.raises(InvalidInput, match="read in another way"):
        trim_vocabulary(whole, LANGUAGE, tmp_path / "small")
    assert not (tmp_path / "small").exists()


def test_what_is_unknown_counts_as_little_as_before(tmp_path: Path) -> None:
    """The unknown counts less than the least likely piece: were that dropped, abc would be read as ab + ?."""
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("<mask>", 0.0)]
    pieces += [("▁ab", -1.0), ("▁a", -12.0), ("bc", -12.0), ("zz", -20.0), ("yy", -13.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens([name for name, _ in pieces[:5]])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    assert tokenizer.encode("abc").tokens[1:-1] == ["▁a", "bc"]
    whole = checkpoint_with(tokenizer, tmp_path / "whole")
    trim_vocabulary(whole, ["abc", "ab"], tmp_path / "small")
    small = Tokenizer.from_file(str(tmp_path / "small" / "tokenizer.json"))
    assert small.encode("abc").tokens[1:-1] == ["▁a", "bc"]
    assert "yy" not in small.get_vocab()
    told = json.loads((tmp_path / "small" / "tokenizer.json").read_text())
    told["model"]["vocab"] = [pair for pair in told["model"]["vocab"] if pair[0] != "zz"]
    assert Tokenizer.from_str(json.dumps(told)).encode("abc").tokens[1:-1] == ["▁ab", "c"]


def test_how_texts_begin_is_kept_too(tmp_path: Path) -> None:
    folder = save_tiny_bert(tmp_path / "whole")
    (folder / "config_sentence_transformers.json").write_text('{"prompts": {"query": "frozen pizza"}}')
    trim_vocabulary(folder, ["wine"], tmp_path / "small")
    tokenizer = Tokenizer.from_file(str(tmp_path / "small" / "tokenizer.json"))
    assert tokenizer.encode("frozen pizzawine").tokens[1:3] == ["frozen", "pizza"]
    assert tokenizer.encode("soap").tokens[1:-1] == ["s", "##o", "##a", "##p"]


@pytest.mark.slow
def test_what_serves_says_the_same_to_the_bit(tmp_path: Path) -> None:
    trim_vocabulary(save_tiny_bert(tmp_path / "whole"), SHOP, tmp_path / "small")
    export_encoder(tmp_path / "models", str(tmp_path / "small"), max_tokens=MAX_TOKENS)
    encoder = OnnxEncoder.load(artifacts.load(tmp_path / "models", "encoder"), threads=1, batch_size=4)
    np.testing.assert_array_equal(encoder.encode(SHOP), tiny_encoder().encode(SHOP))
    assert (np.linalg.norm(encoder.encode(OTHER), axis=1) > 0.99).all()
