"""The encoder that serves: an ONNX graph and a tokenizer, no torch."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Literal, Self

import numpy as np
import onnxruntime
from tokenizers import Encoding, Tokenizer

from honeyguide.artifacts import Artifact
from honeyguide.errors import DamagedArtifact, InvalidInput
from honeyguide.plm.files import GRAPH, TOKENIZER
from honeyguide.types import Vectors

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character: UTF-8 cannot say it
_CHARS_PER_TOKEN = 32  # a text is cut here before it is read: far behind what the token limit would keep
_ERRORS_ONLY = 3

Prompt = Literal["passage", "query"]
"""What a text is: something to be found, or what is asked with; some checkpoints are told by how a text begins."""


class OnnxEncoder:
    """Text to unit vectors; a text in which there is nothing to read gives the zero vector.

    Only texts of equally many tokens share a batch. So nothing is padded, and a text's vector does not depend
    on what else was asked (up to the last bits of float32).
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        tokenizer: Tokenizer,
        *,
        dim: int,
        max_tokens: int,
        version: str,
        batch_size: int,
        prefix: str = "",
    ) -> None:
        if batch_size < 1:
            raise InvalidInput(f"batch_size must be at least 1, got {batch_size}")
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_tokens)
        self._session = session
        self._tokenizer = tokenizer
        self._max_chars = max_tokens * _CHARS_PER_TOKEN
        self._batch_size = batch_size
        self._prefix = prefix
        self.dim = dim
        self.version = version

    @classmethod
    def load(
        cls, artifact: Artifact, *, threads: int = 0, batch_size: int = 64, prompt: Prompt = "passage"
    ) -> Self:
        """The encoder that `export_encoder` stored, for what is found or for what is asked with.

        `threads` work on one batch (0: one per core).
        """
        if threads < 0:
            raise InvalidInput(f"threads must be at least 0, got {threads}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = _ERRORS_ONLY
        try:
            session = onnxruntime.InferenceSession(
                str(artifact.folder / GRAPH), options, providers=["CPUExecutionProvider"]
            )
            tokenizer = Tokenizer.from_file(str(artifact.folder / TOKENIZER))
        except Exception as error:  # both libraries raise bare Exceptions of their own
            raise DamagedArtifact(f"{artifact.folder}: {error}. Make it anew with: honeyguide fit") from None
        prefixes = artifact.meta.get("prompts", {})
        prefix = prefixes.get(prompt, "")
        same = prefix == prefixes.get("passage", "")
        return cls(
            session,
            tokenizer,
            dim=int(artifact.meta["dim"]),
            max_tokens=int(artifact.meta["max_tokens"]),
            version=artifact.version if same else f"{artifact.version}-{prompt}",
            batch_size=batch_size,
            prefix=prefix,
        )

    def encode(self, texts: Sequence[str]) -> Vectors:
        """(n, dim) float32; `[]` gives (0, dim); a bare `str` raises InvalidInput."""
        if isinstance(texts, str):
            raise InvalidInput(
                f"encode() takes a sequence of texts, got the bare string {texts[:40]!r}: pass a list"
            )
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        whole = [self._prefix + text if text.strip() else "" for text in texts]
        for rows, ids in self._batches(self._tokenised(whole)):
            feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            vectors[rows] = self._session.run(["vectors"], feed)[0]
        return vectors

    def _tokenised(self, texts: Sequence[str]) -> list[Encoding]:
        """What the tokenizer makes of texts; places in a text stay what they are."""
        return list(self._tokenizer.encode_batch([self._readable(text) for text in texts]))

    def _readable(self, text: str) -> str:
        return _LONE_SURROGATE.sub(" ", text[: self._max_chars])

    def _batches(
        self, encodings: Sequence[Encoding]
    ) -> Iterator[tuple[list[int], np.ndarray[tuple[int, int], np.dtype[np.int64]]]]:
        """Rows, and their token ids (rows, length): all texts of a batch are equally long."""
        by_length: dict[int, list[int]] = defaultdict(list)
        for row, encoding in enumerate(encodings):
            if not all(encoding.special_tokens_mask):
                by_length[len(encoding)].append(row)
        for rows in by_length.values():
            for first in range(0, len(rows), self._batch_size):
                batch = rows[first : first + self._batch_size]
                yield batch, np.array([encodings[row].ids for row in batch], dtype=np.int64)
