"""A transformer distilled into a table of token vectors: what `honeyguide.plm.static` looks up.

The rows begin as the teacher's vectors of every token and of the shop's frequent words, rare ones weighted up (Arora
et al. 2017), as model2vec (Tulkens & van Dongen 2024) has it. Then they are fitted, so that the mean of a text's rows
is the teacher's vector of the whole text: ridge regression towards where they began, in closed form.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from tokenizers import Tokenizer

from honeyguide import artifacts
from honeyguide.errors import InvalidInput
from honeyguide.plm.card import Card, render_card
from honeyguide.plm.corpus import distinct, is_held_out
from honeyguide.plm.files import CARD, TOKENIZER
from honeyguide.plm.readable import readable
from honeyguide.plm.static import STATIC, StaticEncoder
from honeyguide.plm.vectors import catalogue_vectors
from honeyguide.types import Encoder, Floats, Progress, Rows, Vectors, silent

_ENOUGH = 1e-6  # of the residual's square: what is left after this many rounds is nobody's to see
_PROBES = (
    "two words",
    " leading",
    "trailing ",
    "a  b",
    "half-price, 50% off!",
    "crème brûlée",
    "冷冻 披萨",
    "a\tb\x85c",
)


@dataclass(frozen=True, slots=True)
class TablePlan:
    """How a table is made."""

    dims: int | None = 256
    """Components that are kept, the teacher's main directions; None keeps all."""
    words: int = 5
    """Words that stand in this many texts get a row of their own; 0 gives none."""
    rarity: float = 1e-3
    """A token with this share of all tokens counts half as much as one that is never seen."""
    ridge: float = 3e-3
    """How much the rows are held where they began, against all texts; none are fitted where it is infinite."""
    rounds: int = 100
    max_tokens: int = 512
    """A text is read so far."""
    held_out: float = 0.1
    """The share of the texts that only the card's figures are measured on."""

    def __post_init__(self) -> None:
        if (self.dims is not None and self.dims < 1) or self.words < 0:
            raise InvalidInput(
                f"dims must be at least 1 and words at least 0, got {self.dims} and {self.words}"
            )
        if not self.rarity > 0 or not self.ridge > 0:
            raise InvalidInput(f"rarity and ridge must be above 0, got {self.rarity} and {self.ridge}")
        if self.rounds < 1 or self.max_tokens < 1 or not 0 <= self.held_out < 1:
            raise InvalidInput(
                "rounds and max_tokens must be at least 1, held_out at least 0 and below 1, "
                f"got {self.rounds}, {self.max_tokens} and {self.held_out}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class StaticTable:
    """A static encoder that is not stored yet: what its artefact holds."""

    table: NDArray[np.float16]
    meta: dict[str, Any]
    files: dict[str, bytes]

    def encoder(self, version: str) -> StaticEncoder:
        """The encoder it would be."""
        return StaticEncoder(
            self.table.astype(np.float32),
            Tokenizer.from_str(self.files[TOKENIZER].decode()),
            version=version,
            max_tokens=self.meta["max_tokens"],
            by_words=self.meta["by_words"],
        )


def distil_table(
    root: Path,
    teacher: Encoder,
    tokenizer: Tokenizer,
    texts: Iterable[str],
    plan: TablePlan | None = None,
    *,
    cache: Path,
    progress: Progress = silent,
) -> str:
    """Distil `teacher` on `texts` and store the table as the current static encoder under `root`; the version.

    `tokenizer` cuts texts into what has a row, as a rule the teacher's own. The teacher's vectors go through `cache`.
    """
    plan = plan or TablePlan()
    corpus = list(distinct(texts))
    key = artifacts.key_of("table 1", teacher.version, tokenizer.to_str(), asdict(plan), corpus)
    if known := artifacts.load_if_made_from(root, STATIC, key):
        return known.version
    made = make_table(teacher, tokenizer, corpus, plan, cache=cache, progress=progress)
    return artifacts.save(root, STATIC, {"table": made.table}, {**made.meta, "key": key}, made.files)


def make_table(
    teacher: Encoder,
    tokenizer: Tokenizer,
    texts: Iterable[str],
    plan: TablePlan,
    *,
    cache: Path,
    progress: Progress = silent,
) -> StaticTable:
    """What `distil_table` stores; InvalidInput where there is no text."""
    corpus = [text for text in distinct(map(readable, texts)) if text.strip()]
    learned = [text for text in corpus if not is_held_out(text, plan.held_out)]
    held_out = [text for text in corpus if is_held_out(text, plan.held_out)]
    if not learned:
        raise InvalidInput("there is no text to distil from: give the catalogue's texts")
    own = with_words(tokenizer, frequent_words(tokenizer, learned, plan.words) if plan.words else ())
    readings = token_texts(own)
    every = catalogue_vectors(teacher, [*readings, *learned, *held_out], cache=cache, progress=progress)
    cuts = [len(readings), len(readings) + len(learned)]
    rows, wanted, unseen = np.split(every, cuts)
    weights = token_shares(own, learned, plan.max_tokens)
    table = fitted_table(rows, weights, wanted, plan)
    table[[not reading for reading in readings]] = 0  # special tokens say nothing of a text
    figures = _figures(table, own, held_out, unseen, plan) if held_out else ()
    narrow = (table @ main_directions(wanted, plan.dims)).astype(np.float16)
    files = {
        TOKENIZER: own.to_str().encode(),
        CARD: render_card(_card(teacher, plan, len(learned), len(held_out), len(narrow), figures)).encode(),
    }
    meta = {
        "form": "static",
        "dim": narrow.shape[1],
        "max_tokens": plan.max_tokens,
        "by_words": reads_by_words(own, corpus),
        "teacher": teacher.version,
    }
    return StaticTable(narrow, meta, files)


def frequent_words(tokenizer: Tokenizer, texts: Sequence[str], least: int) -> tuple[str, ...]:
    """Words in at least `least` texts that the tokenizer cuts into pieces, the most frequent first.

    None where the tokenizer is not one of WordPiece: others cannot be given words.
    """
    if json.loads(tokenizer.to_str())["model"]["type"] != "WordPiece":
        return ()
    known = tokenizer.get_vocab()
    counts: Counter[str] = Counter()
    for text in texts:
        plain = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text
        words = (
            tokenizer.pre_tokenizer.pre_tokenize_str(plain) if tokenizer.pre_tokenizer else [(plain, None)]
        )
        counts.update({word for word, _ in words if word not in known})
    found = sorted((-n, word) for word, n in counts.items() if n >= least)
    return tuple(word for _, word in found)


def with_words(tokenizer: Tokenizer, words: Sequence[str]) -> Tokenizer:
    """A tokenizer of its own that has these words whole, and neither pads nor cuts."""
    told = json.loads(tokenizer.to_str())
    if words:
        vocabulary = told["model"]["vocab"]
        vocabulary |= {word: tokenizer.get_vocab_size() + place for place, word in enumerate(words)}
    own = Tokenizer.from_str(json.dumps(told))
    own.no_padding()
    own.no_truncation()
    return own


def token_texts(tokenizer: Tokenizer) -> list[str]:
    """What each token says, by its id; special tokens, and ids that none has, say nothing."""
    special = {place for place, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    texts = [""] * tokenizer.get_vocab_size()
    for token, place in tokenizer.get_vocab().items():
        if place not in special:
            texts[place] = tokenizer.decode([place]).removeprefix("##").strip() or token
    return texts


def token_shares(tokenizer: Tokenizer, texts: Sequence[str], max_tokens: int) -> csr_matrix:
    """(n, tokens): which share of a text each token is; every row with any sums to 1."""
    found = [
        one.ids[:max_tokens] for one in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    ]
    counts = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
    ids = np.fromiter(chain.from_iterable(found), dtype=np.int32, count=int(counts.sum()))
    shares = np.repeat(1 / np.maximum(counts, 1), counts).astype(np.float32)
    shape = (len(found), tokenizer.get_vocab_size())
    return csr_matrix((shares, ids, np.concatenate([[0], np.cumsum(counts)])), shape=shape)


def fitted_table(rows: Vectors, shares: csr_matrix, wanted: Vectors, plan: TablePlan) -> Vectors:
    """(tokens, dim) float32 so that `shares @ table` is near `wanted`, out of the teacher's vectors of the tokens."""
    seen = np.asarray(shares.sum(0)).ravel()
    weights = plan.rarity / (plan.rarity + seen / max(seen.sum(), 1e-9))
    centred = np.where(rows.any(1, keepdims=True), rows - rows[rows.any(1)].mean(0), 0)
    table = _placed((centred * weights[:, None]).astype(np.float32), shares, wanted)
    if np.isinf(plan.ridge):
        return table
    used = np.flatnonzero(seen > 0)
    design = shares[:, used]
    table[used] += ridge(design, wanted - design @ table[used], plan.ridge, plan.rounds)
    return table


def _placed(table: Vectors, shares: csr_matrix, wanted: Vectors) -> Vectors:
    """The table, stretched and moved as a whole to where its texts come nearest to what is wanted."""
    said = shares @ table
    left, right = said - said.mean(0), wanted - wanted.mean(0)
    spread = float((left * left).sum())
    stretch = float((left * right).sum()) / spread if spread > 0 else 1.0
    return np.asarray(stretch * table + (wanted.mean(0) - stretch * said.mean(0)), dtype=np.float32)


def ridge(design: csr_matrix, wanted: Vectors, strength: float, rounds: int) -> Vectors:
    """(k, dim): the W with the least |design W - wanted|^2 + strength |W|^2, by conjugate gradients."""
    turned = design.T.tocsr()
    residual = turned @ wanted
    found, direction = np.zeros_like(residual), residual.copy()
    left = _squares(residual)
    enough = _ENOUGH * left.sum()
    for _ in range(rounds):
        ahead = turned @ (design @ direction) + strength * direction
        # a column that is through has no direction left, and 0 / 0 must not come of it
        step = left / np.maximum((direction * ahead).sum(0, dtype=np.float64), 1e-30)
        found += (step * direction).astype(np.float32)
        residual -= (step * ahead).astype(np.float32)
        now = _squares(residual)
        if now.sum() <= enough:
            break
        direction = residual + (now / np.maximum(left, 1e-30) * direction).astype(np.float32)
        left = now
    return np.asarray(found, dtype=np.float32)


def _squares(columns: Vectors) -> Floats:
    return np.asarray((columns * columns).sum(0, dtype=np.float64))


def main_directions(vectors: Vectors, dims: int | None) -> Vectors:
    """(dim, kept) float32: orthonormal columns that keep as much of the vectors' products as `dims` can."""
    width = vectors.shape[1]
    if dims is None or dims >= width:
        return np.eye(width, dtype=np.float32)
    moments = (vectors.T @ vectors).astype(np.float64)
    _, directions = np.linalg.eigh(moments)
    return np.ascontiguousarray(directions[:, ::-1][:, :dims], dtype=np.float32)


def reads_by_words(tokenizer: Tokenizer, texts: Sequence[str]) -> bool:
    """Whether the tokenizer cuts each of these texts as it cuts their words one by one."""
    every = [*_PROBES, *texts]
    pieces = [text.split(" ") for text in every]
    words = sorted(set(chain.from_iterable(pieces)))
    ids = [one.ids for one in tokenizer.encode_batch_fast(words, add_special_tokens=False)]
    of = dict(zip(words, ids, strict=True))
    whole = tokenizer.encode_batch_fast(every, add_special_tokens=False)
    return all(
        one.ids == list(chain.from_iterable(map(of.__getitem__, some)))
        for one, some in zip(whole, pieces, strict=True)
    )


def likeness(one: Vectors, other: Vectors) -> float:
    """Correlation of the similarities between n texts, as two encoders have them, 2,000 texts at most."""
    n = min(len(one), 2000)
    if n < 3:
        return float("nan")
    pairs: tuple[NDArray[np.intp], NDArray[np.intp]] = np.triu_indices(n, 1)
    return float(np.corrcoef((one[:n] @ one[:n].T)[pairs], (other[:n] @ other[:n].T)[pairs])[0, 1])


def _figures(
    table: Vectors, tokenizer: Tokenizer, texts: Sequence[str], wanted: Vectors, plan: TablePlan
) -> tuple[tuple[str, str], ...]:
    said = token_shares(tokenizer, texts, plan.max_tokens) @ table
    said /= np.maximum(np.linalg.norm(said, axis=1, keepdims=True), 1e-12)
    there: Rows = np.flatnonzero(wanted.any(1))
    cosine = float((said[there] * wanted[there]).sum(1).mean()) if len(there) else float("nan")
    return (
        ("mean cosine to the teacher's vectors, held-out texts", f"{cosine:.3f}"),
        ("correlation with the teacher's similarities, held-out texts", f"{likeness(said, wanted):.3f}"),
    )


def _card(
    teacher: Encoder,
    plan: TablePlan,
    learned: int,
    held_out: int,
    tokens: int,
    figures: tuple[tuple[str, str], ...],
) -> Card:
    return Card(
        title="A shop's static encoder",
        base=f"encoder {teacher.version}",
        purpose="turns texts into vectors by adding up rows of a table, far faster than its teacher reads them",
        made_from=(f"{learned:,} distinct texts of the shop, {held_out:,} more held out",),
        how=(
            f"{tokens:,} tokens, weighted by how rare they are ({plan.rarity:g})",
            f"fitted to the teacher's vectors of whole texts, ridge {plan.ridge:g}",
            f"{plan.dims or teacher.dim} dimensions",
        ),
        figures=figures,
    )
