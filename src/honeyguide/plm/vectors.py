"""Vectors of a whole catalogue: each distinct text is encoded once, and never again while the cache lasts.

    cache/<encoder version>/<sha256 of the file>.safetensors     keys (m, 16) uint8, vectors (m, dim) float32

A file is named after its own content, so a damaged one is seen, dropped and computed anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as parse_arrays
from safetensors.numpy import save as dump_arrays

from honeyguide.artifacts import write_atomically
from honeyguide.errors import InvalidInput
from honeyguide.types import Encoder, Progress, Vectors, silent

_FLUSH = 2048  # texts between two writes: an interrupted run loses at most this much work
_KEY_BYTES = 16


def catalogue_vectors(
    encoder: Encoder, texts: Sequence[str], *, cache: Path, progress: Progress = silent
) -> Vectors:
    """(n, dim) float32: row i belongs to text i; only what the `cache` folder lacks is encoded.

    `progress` counts distinct texts. A second run, a changed catalogue and an interrupted run all go on from
    what is there.
    """
    if isinstance(texts, str):
        raise InvalidInput(
            f"catalogue_vectors() takes a sequence of texts, got the bare string {texts[:40]!r}"
        )
    folder = cache / encoder.version
    folder.mkdir(parents=True, exist_ok=True)
    row_of = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    keys = [_key(text) for text in row_of]
    vectors = np.zeros((len(row_of), encoder.dim), dtype=np.float32)
    known = _fill_from(folder, keys, vectors)
    # alike lengths go together: the encoder then finds full batches of equally long texts
    missing = sorted(
        (text for text, row in row_of.items() if not known[row]), key=lambda text: (len(text), text)
    )
    done = len(row_of) - len(missing)
    progress(done, len(row_of))
    for first in range(0, len(missing), _FLUSH):
        chunk = missing[first : first + _FLUSH]
        rows = [row_of[text] for text in chunk]
        vectors[rows] = encoder.encode(chunk)
        _store(folder, [keys[row] for row in rows], vectors[rows])
        done += len(chunk)
        progress(done, len(row_of))
    return vectors[[row_of[text] for text in texts]]


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:_KEY_BYTES]


def _fill_from(
    folder: Path, keys: list[bytes], vectors: Vectors
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """(m,) which rows of `vectors` the stored files could fill."""
    known = np.zeros(len(keys), dtype=np.bool_)
    row_of = {key: row for row, key in enumerate(keys)}
    for path in sorted(folder.glob("*.safetensors")):
        for key, vector in _read(path, vectors.shape[1]):
            row = row_of.get(key)
            if row is not None:
                vectors[row] = vector
                known[row] = True
    return known


def _read(path: Path, dim: int) -> list[tuple[bytes, Vectors]]:
    """The pairs in one file; none, and the file is dropped, where it is damaged."""
    data = path.read_bytes()
    try:
        if hashlib.sha256(data).hexdigest() != path.stem:
            raise ValueError("not what was written")
        arrays = parse_arrays(data)
        vectors = arrays["vectors"].reshape(-1, dim)
        return list(zip(map(bytes, arrays["keys"]), vectors, strict=True))
    except (SafetensorError, KeyError, ValueError):
        path.unlink(missing_ok=True)
        return []


def _store(folder: Path, keys: list[bytes], vectors: Vectors) -> None:
    table = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, _KEY_BYTES)
    data = dump_arrays({"keys": table, "vectors": np.ascontiguousarray(vectors)})
    write_atomically(folder / f"{hashlib.sha256(data).hexdigest()}.safetensors", data)
