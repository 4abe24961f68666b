"""The laws of an encoder: run them over yours with `check_encoder(make)`.

`make()` builds or loads the encoder; two calls give two encoders of the same version.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from honeyguide.checks.policy import require
from honeyguide.errors import InvalidInput
from honeyguide.types import Encoder

MakeEncoder = Callable[[], Encoder]
EncoderCheck = Callable[[MakeEncoder], None]

TEXTS = (
    "frozen pizza, pepperoni, 12 oz",
    "dog food",
    "shampoo and conditioner for dry hair",
    "milk",
    "a gallon of organic whole milk from grass-fed cows, chilled",
    "冷冻披萨",
    "crème brûlée 🍮",
)
AWKWARD = (
    "\ud83c",  # half an emoji
    "pizza \udc00 box",
    "e\u0301\u200d\u202e",  # combining, joining and right-to-left marks
    "\x00\x07\x1b[31m",
    "pizza " * 2_000,
    "x" * 10_000,
    "🍕" * 500,
)
BLANK = ("", " ", "\n\t ")
CLOSE = 1e-6
"""Vectors closer than this are equal: another batch may add up float32 in another order."""


def check_encoder(make: MakeEncoder) -> None:
    """Run every law."""
    for check in CHECKS_ENCODER:
        check(make)


def check_shape_and_dtype(make: MakeEncoder) -> None:
    """As many texts, as many rows: (n, dim) float32."""
    encoder = make()
    vectors = encoder.encode(TEXTS)
    require(
        vectors.shape == (len(TEXTS), encoder.dim),
        f"wanted ({len(TEXTS)}, {encoder.dim}), got {vectors.shape}",
    )
    require(vectors.dtype == np.float32, f"vectors must be float32, got {vectors.dtype}")


def check_nothing_gives_no_rows(make: MakeEncoder) -> None:
    """`[]` gives (0, dim) float32."""
    encoder = make()
    vectors = encoder.encode([])
    require(vectors.shape == (0, encoder.dim), f"[] must give (0, {encoder.dim}), got {vectors.shape}")
    require(vectors.dtype == np.float32, f"vectors must be float32, got {vectors.dtype}")


def check_unit_norm_or_zero(make: MakeEncoder) -> None:
    """Every vector has norm 1, or says nothing at all; texts with words in them say something."""
    encoder = make()
    norms = np.linalg.norm(encoder.encode([*TEXTS, *AWKWARD, *BLANK]), axis=1)
    require(((np.abs(norms - 1) < 1e-5) | (norms == 0)).all(), f"norms must be 1 or 0, got {norms}")
    require((norms[:5] > 0).all(), "a text with words in it must not give the zero vector")


def check_blank_gives_zero(make: MakeEncoder) -> None:
    """A text with nothing to read gives the zero vector."""
    require(not make().encode(BLANK).any(), "an empty text must give the zero vector")


def check_finite(make: MakeEncoder) -> None:
    """Whatever the text, every component is finite."""
    require(np.isfinite(make().encode([*TEXTS, *AWKWARD, *BLANK])).all(), "vectors must be finite")


def check_any_text_is_read(make: MakeEncoder) -> None:
    """Half characters, control characters and 10 kB of text are no reason to fail."""
    encoder = make()
    for text in AWKWARD:
        try:
            encoder.encode([text])
        except Exception as error:
            require(False, f"{text[:12]!r} ({len(text)} characters) must be read, got {error!r}")


def check_texts_differ(make: MakeEncoder) -> None:
    """Different texts of equally many words get different vectors, also side by side in one batch."""
    vectors = make().encode(["frozen pizza", "dog food", "red wine", "hand soap"])
    likeness = vectors @ vectors.T - np.eye(4)
    require((likeness < 0.999).all(), "different texts got the same vector")


def check_order(make: MakeEncoder) -> None:
    """Row i belongs to text i, however the texts are shuffled."""
    encoder = make()
    order = np.random.default_rng(0).permutation(len(TEXTS))
    _close(
        encoder.encode([TEXTS[i] for i in order]),
        encoder.encode(TEXTS)[order],
        "rows must follow the order of the texts",
    )


def check_batch_is_irrelevant(make: MakeEncoder) -> None:
    """A text has the same vector alone, among others, and beside very long texts."""
    encoder = make()
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    _close(alone, encoder.encode(TEXTS), "a text alone must have the vector it has among others")
    crowd = encoder.encode([*AWKWARD, *TEXTS, *TEXTS])
    _close(alone, crowd[-len(TEXTS) :], "long neighbours must not change a vector")


def check_duplicates_agree(make: MakeEncoder) -> None:
    """The same text twice has the same vector twice."""
    vectors = make().encode(["milk", *TEXTS, "milk"])
    _close(vectors[:1], vectors[-1:], "the same text got two vectors")


def check_bare_string_refused(make: MakeEncoder) -> None:
    """A bare `str` would be read as a list of letters: it raises InvalidInput."""
    try:
        make().encode("milk")
    except InvalidInput:
        return
    require(False, "encode('milk') must raise InvalidInput: texts come as a sequence")


def check_inputs_unchanged(make: MakeEncoder) -> None:
    """Encoding leaves the caller's list alone, and results are the caller's own to change."""
    encoder = make()
    texts = list(TEXTS)
    first = encoder.encode(texts)
    kept = first.copy()
    require(texts == list(TEXTS), "the list of texts was changed")
    first[:] = 0
    _close(encoder.encode(texts), kept, "what the caller does to a result must not reach the next one")


def check_equal_versions_agree(make: MakeEncoder) -> None:
    """Loaded twice, an encoder has one version, one dim and the same vectors to the bit."""
    one, other = make(), make()
    require(bool(one.version) and one.version == other.version, "version must be named and stable")
    require(one.dim == other.dim, "dim must be stable")
    require(
        np.array_equal(one.encode(TEXTS), other.encode(TEXTS)),
        "equal versions must give equal vectors to the bit",
    )


def _close(got: np.ndarray, wanted: np.ndarray, law: str) -> None:
    gap = float(np.abs(got - wanted).max(initial=0.0)) if got.shape == wanted.shape else np.inf
    require(gap <= CLOSE, f"{law}: differs by {gap:.1e}")


CHECKS_ENCODER: tuple[EncoderCheck, ...] = (
    check_shape_and_dtype,
    check_nothing_gives_no_rows,
    check_unit_norm_or_zero,
    check_blank_gives_zero,
    check_finite,
    check_any_text_is_read,
    check_texts_differ,
    check_order,
    check_batch_is_irrelevant,
    check_duplicates_agree,
    check_bare_string_refused,
    check_inputs_unchanged,
    check_equal_versions_agree,
)
