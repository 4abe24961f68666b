"""Dropping the tokens that a shop's texts never use: a multilingual model is mostly words of other shops.

Tokens keep their order, and every text of the corpus is read as before, so its vectors are the same to the bit. Other
texts are read through what is left: single characters, bytes or pieces of them always stay where there were any.
(Abdaoui et al. 2020 did this for languages.)
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from honeyguide.errors import InvalidInput
from honeyguide.plm.export import prompts_of
from honeyguide.plm.files import TOKENIZER, WEIGHTS
from honeyguide.plm.readable import readable

_BATCH = 1000
_OTHER_WORDS = ("vocab.txt", "vocab.json", "merges.txt", "added_tokens.json")
"""Other files that say what the tokens are: tokenizer.json alone is read, and says it anew."""
_TEXT = (".json", ".txt", ".md", ".jinja")
_ROWS = (
    "word_embeddings.weight",
    "embed_tokens.weight",
    "wte.weight",
    "tok_embeddings.weight",
    "lm_head.weight",
)
_ROWS_OF_HEADS = (
    "predictions.bias",
    "decoder.weight",
    "decoder.bias",
    "lm_head.bias",
    "vocab_projector.weight",
)


@dataclass(frozen=True, slots=True)
class Trimmed:
    """How many tokens there were and are."""

    before: int
    after: int


def trim_vocabulary(checkpoint: Path, texts: Iterable[str], folder: Path) -> Trimmed:
    """Write `checkpoint` into `folder` with only the tokens that `texts` use, and those that can spell any other.

    Where the checkpoint was taught how texts begin, they are read with that too. InvalidInput where the tokenizer
    is none that can be trimmed without changing how the texts are read.
    """
    told = json.loads((checkpoint / TOKENIZER).read_text(encoding="utf-8"))
    tokenizer = _plain(told)
    begins = dict.fromkeys(["", *prompts_of(checkpoint).values()])
    seen = [begin + text for text in dict.fromkeys(map(readable, texts)) for begin in begins]
    kept = _kept(told, set(_used(tokenizer, seen)))
    trimmed = _rewritten(told, kept)
    new_id = np.full(1 + max(tokenizer.get_vocab().values()), -1, dtype=np.int64)
    new_id[kept] = np.arange(len(kept))
    _check_reading(tokenizer, _plain(trimmed), new_id, seen)
    folder.mkdir(parents=True, exist_ok=True)
    before = _write_config(checkpoint, folder, kept, new_id)
    _write_weights(checkpoint, folder, np.array(kept), before)
    (folder / TOKENIZER).write_text(json.dumps(trimmed, ensure_ascii=False), encoding="utf-8")
    _copy_others(checkpoint, folder)
    return Trimmed(before, len(kept))


def _plain(told: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer of a tokenizer.json, neither cutting nor padding."""
    tokenizer = Tokenizer.from_str(json.dumps(told))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _used(tokenizer: Tokenizer, texts: list[str]) -> Iterator[int]:
    for batch in _batched(texts):
        for encoding in tokenizer.encode_batch(batch):
            yield from encoding.ids


def _kept(told: Mapping[str, Any], used: set[int]) -> list[int]:
    """The ids that stay, ascending: used ones, special ones, and those that spell what was never seen."""
    model = told["model"]
    special = {int(token["id"]) for token in told["added_tokens"]}
    stay = {"WordPiece": _wordpiece, "Unigram": _unigram, "BPE": _bpe}.get(model["type"])
    if stay is None:
        raise InvalidInput(f"a {model['type']} tokenizer cannot be trimmed: it has no pieces to fall back on")
    return sorted(used | special | set(stay(model, used)))


def _wordpiece(model: Mapping[str, Any], used: set[int]) -> Iterator[int]:
    """Reading takes the longest piece that fits: without unused ones the same are found."""
    prefix = model["continuing_subword_prefix"]
    for token, row in model["vocab"].items():
        if len(token.removeprefix(prefix)) <= 1 or token == model["unk_token"]:
            yield row


def _unigram(model: Mapping[str, Any], used: set[int]) -> Iterator[int]:
    """Reading takes the likeliest pieces, and what is unknown counts less than the least likely one, which stays."""
    yield model["unk_id"]
    yield min(range(len(model["vocab"])), key=lambda row: model["vocab"][row][1])
    for row, (piece, _) in enumerate(model["vocab"]):
        if len(piece.removeprefix("▁")) <= 1 or (piece.startswith("<0x") and piece.endswith(">")):
            yield row


def _bpe(model: Mapping[str, Any], used: set[int]) -> Iterator[int]:
    """Reading joins pairs of pieces: what a used piece is joined out of stays, and all that is joined of nothing."""
    rank = {_pair(merge): place for place, merge in enumerate(model["merges"])}
    joined = {a + b for a, b in rank}
    token_of = {row: token for token, row in model["vocab"].items()}
    yield from (row for token, row in model["vocab"].items() if token not in joined)
    for row in used:
        pieces = list(token_of.get(row, ""))
        while len(pieces) > 1:
            pairs = [(rank.get(pair, len(rank)), place) for place, pair in enumerate(pairwise(pieces))]
            best, place = min(pairs)
            if best == len(rank):
                break
            pieces[place : place + 2] = [pieces[place] + pieces[place + 1]]
            yield model["vocab"][pieces[place]]


def _pair(merge: str | list[str]) -> tuple[str, str]:
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return first, second


def _rewritten(told: Mapping[str, Any], kept: list[int]) -> dict[str, Any]:
    """tokenizer.json with the tokens that stay, in their order, and their new ids wherever ids stand."""
    place = {row: new for new, row in enumerate(kept)}
    model = dict(told["model"])
    if model["type"] == "Unigram":
        size = len(model["vocab"])
        model["vocab"] = [model["vocab"][row] for row in kept if row < size]
        model["unk_id"] = place[model["unk_id"]]
    else:
        model["vocab"] = {token: place[row] for token, row in model["vocab"].items() if row in place}
    if model["type"] == "BPE":
        there = model["vocab"]
        model["merges"] = [
            merge
            for merge in model["merges"]
            if "".join(_pair(merge)) in there and all(part in there for part in _pair(merge))
        ]
    added = [{**token, "id": place[token["id"]]} for token in told["added_tokens"]]
    new = {**told, "model": model, "added_tokens": added}
    new["post_processor"] = _renumbered(told["post_processor"], place)
    if told.get("padding"):
        new["padding"] = {**told["padding"], "pad_id": place[told["padding"]["pad_id"]]}
    return new


def _renumbered(processor: Any, place: Mapping[int, int]) -> Any:  # noqa: ANN401
    """A post-processor with new ids: they stand behind `ids`, and in the pairs behind `sep` and `cls`."""
    if isinstance(processor, list):
        return [_renumbered(one, place) for one in processor]
    if not isinstance(processor, dict):
        return processor
    new = {}
    for key, value in processor.items():
        if key == "ids":
            new[key] = [place[row] for row in value]
        elif key in ("sep", "cls") and isinstance(value, list):
            new[key] = [value[0], place[value[1]]]
        else:
            new[key] = _renumbered(value, place)
    return new


def _check_reading(old: Tokenizer, new: Tokenizer, new_id: NDArray[np.int64], texts: list[str]) -> None:
    for batch in _batched(texts):
        pairs = zip(batch, old.encode_batch(batch), new.encode_batch(batch), strict=True)
        for text, before, after in pairs:
            if new_id[before.ids].tolist() != after.ids:
                raise InvalidInput(
                    f"with fewer tokens {text[:40]!r} would be read in another way: this tokenizer cannot be trimmed"
                )


def _write_config(checkpoint: Path, folder: Path, kept: list[int], new_id: NDArray[np.int64]) -> int:
    """Write config.json with the new size and special ids; the size it had."""
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    before = int(config["vocab_size"])
    for key, value in config.items():
        if key.endswith("_token_id") and isinstance(value, int) and 0 <= value < len(new_id):
            config[key] = int(new_id[value]) if new_id[value] >= 0 else None
    config["vocab_size"] = len(kept)
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    return before


def _write_weights(checkpoint: Path, folder: Path, kept: NDArray[np.int64], before: int) -> None:
    tensors, found = {}, False
    with safe_open(checkpoint / WEIGHTS, "np") as stored:
        for name in stored.keys():  # no mapping
            array = stored.get_tensor(name)
            if name.endswith(_ROWS + _ROWS_OF_HEADS) and len(array) == before:
                array, found = np.ascontiguousarray(array[kept]), True
            tensors[name] = array
    if not found:
        raise InvalidInput(
            f"{checkpoint / WEIGHTS} has no table of {before} words: this model cannot be trimmed"
        )
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def _copy_others(checkpoint: Path, folder: Path) -> None:
    """Everything else of the checkpoint; the tokenizer is read from tokenizer.json, whatever class it was of."""
    for path in checkpoint.rglob("*"):
        target = folder / path.relative_to(checkpoint)
        told = path.is_file() and path.suffix in _TEXT and path.name not in _OTHER_WORDS
        if told and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    settings = folder / "tokenizer_config.json"
    named = json.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
    gone = ("added_tokens_decoder", "vocab_file", "merges_file", "auto_map")
    named = {key: value for key, value in named.items() if key not in gone}
    settings.write_text(
        json.dumps({**named, "tokenizer_class": "PreTrainedTokenizerFast"}, indent=2), "utf-8"
    )


def _batched(texts: list[str]) -> Iterator[list[str]]:
    walk = iter(texts)
    while batch := list(islice(walk, _BATCH)):
        yield batch
