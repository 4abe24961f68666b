"""Tokenised texts as flat files that are mapped, not loaded: ids, and where each text begins.

folder/ids.u32        the token ids of all texts, one after the other
folder/words.u8       1 where a token begins a word, 0 where it goes on with one
folder/starts.i64     (n + 1,) where each text begins in them
folder/tokens.json    what they were made of
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from honeyguide.artifacts import write_atomically
from honeyguide.plm.readable import readable

_BATCH = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """n tokenised texts without special tokens: text i is ids[starts[i]:starts[i + 1]].

    `ids` uint32, `words` bool (whether a token begins a word), `starts` (n + 1,) int64.
    """

    ids: NDArray[np.uint32]
    words: NDArray[np.uint8]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(n,): how many tokens each text has."""
        return np.diff(self.starts)

    def text(self, row: int, limit: int) -> NDArray[np.uint32]:
        """The first `limit` ids of a text."""
        first = int(self.starts[row])
        return self.ids[first : min(int(self.starts[row + 1]), first + limit)]

    def word_starts(self, row: int, limit: int) -> NDArray[np.bool_]:
        """Which of the first `limit` tokens of a text begin a word."""
        first = int(self.starts[row])
        return self.words[first : min(int(self.starts[row + 1]), first + limit)].astype(np.bool_)


def tokenise(texts: Iterable[str], tokenizer: Tokenizer, folder: Path, *, key: str) -> Tokens:
    """Tokenise texts as they stream past, or map what was made from `key` before; empty ones stay, with no tokens."""
    marker = folder / "tokens.json"
    if not (marker.is_file() and json.loads(marker.read_text()).get("key") == key):
        folder.mkdir(parents=True, exist_ok=True)
        marker.unlink(missing_ok=True)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        counts = list(_write(iter(texts), tokenizer, folder))
        starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
        starts.tofile(folder / "starts.i64")
        write_atomically(marker, json.dumps({"key": key}).encode())
    return open_tokens(folder)


def open_tokens(folder: Path) -> Tokens:
    """Map what `tokenise` wrote."""
    return Tokens(
        ids=np.asarray(_mapped(folder / "ids.u32", np.uint32), np.uint32),
        words=np.asarray(_mapped(folder / "words.u8", np.uint8), np.uint8),
        starts=np.fromfile(folder / "starts.i64", dtype=np.int64),
    )


def tokens_of(texts: Iterable[str], tokenizer: Tokenizer) -> Tokens:
    """The same in memory, for as many texts as fit there."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    ids: list[int] = []
    words: list[bool] = []
    starts = [0]
    for found_ids, found_words in _tokenised(iter(texts), tokenizer):
        ids += found_ids
        words += found_words
        starts.append(len(ids))
    return Tokens(np.array(ids, np.uint32), np.array(words, np.uint8), np.array(starts, np.int64))


def _write(texts: Iterator[str], tokenizer: Tokenizer, folder: Path) -> Iterator[int]:
    with (folder / "ids.u32").open("wb") as ids, (folder / "words.u8").open("wb") as words:
        for found_ids, found_words in _tokenised(texts, tokenizer):
            ids.write(np.array(found_ids, np.uint32).tobytes())
            words.write(np.array(found_words, np.uint8).tobytes())
            yield len(found_ids)


def _tokenised(texts: Iterator[str], tokenizer: Tokenizer) -> Iterator[tuple[list[int], list[bool]]]:
    while batch := list(islice(texts, _BATCH)):
        given = list(map(readable, batch))
        for encoding in tokenizer.encode_batch(given, add_special_tokens=False):
            words = encoding.word_ids
            yield encoding.ids, [i == 0 or word != words[i - 1] for i, word in enumerate(words)]


def _mapped(path: Path, dtype: type[np.generic]) -> NDArray[np.generic]:
    if not path.stat().st_size:
        return np.zeros(0, dtype=dtype)  # an empty file cannot be mapped
    return np.memmap(path, dtype=dtype, mode="r")
