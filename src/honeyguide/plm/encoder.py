"""The encoder that serves: an ONNX graph and a tokenizer, no torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, Self, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from honeyguide.artifacts import Artifact
from honeyguide.errors import DamagedArtifact, InvalidInput
from honeyguide.plm.files import GRAPH, TOKENIZER
from honeyguide.plm.lengths import cut_by_length
from honeyguide.plm.readable import readable
from honeyguide.types import Rows, Vectors

_CHARS_PER_TOKEN = 32  # a text is cut here before it is read: far behind what the token limit would keep
_ERRORS_ONLY = 3
_SLOW = ["SkipLayerNormFusion"]  # fused, add and norm take six times as long as one after the other

Feed: TypeAlias = dict[str, NDArray[np.int64]]
"""What the graph takes: ids and mask of a batch, both (rows, length)."""

Prompt = Literal["passage", "query"]
"""What a text is: something to be found, or what is asked with; some checkpoints are told by how a text begins."""


class OnnxEncoder:
    """Text to unit vectors; a text in which there is nothing to read gives the zero vector.

    Texts of alike length share a batch and what is padded is masked, so a text's vector does not depend on what
    else was asked (up to the last bits of float32). As many batches as there are threads are read at once, each by
    one thread, for none of them has to wait for another then.
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
        threads: int = 1,
    ) -> None:
        if threads < 0:
            raise InvalidInput(f"threads must be at least 0, got {threads}")
        if batch_size < 1:
            raise InvalidInput(f"batch_size must be at least 1, got {batch_size}")
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_tokens)
        self._session = session
        self._tokenizer = tokenizer
        self._max_chars = max_tokens * _CHARS_PER_TOKEN
        self._batch_size = batch_size
        self._prefix = prefix
        self._threads = threads or _cores()
        self.dim = dim
        self.version = version

    @classmethod
    def load(
        cls, artifact: Artifact, *, threads: int = 0, batch_size: int = 64, prompt: Prompt = "passage"
    ) -> Self:
        """The encoder that `export_encoder` stored, for what is found or for what is asked with.

        `threads` batches are read at once (0: one per core).
        """
        try:
            session = open_graph(str(artifact.folder / GRAPH))
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
            threads=threads,
        )

    def encode(self, texts: Sequence[str]) -> Vectors:
        """(n, dim) float32; `[]` gives (0, dim); a bare `str` raises InvalidInput."""
        if isinstance(texts, str):
            raise InvalidInput(
                f"encode() takes a sequence of texts, got the bare string {texts[:40]!r}: pass a list"
            )
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        whole = [self._prefix + text if text.strip() else "" for text in texts]
        for rows, (found,) in self._answers(["vectors"], self._tokenised(whole)):
            vectors[rows] = found
        return vectors

    def _answers(
        self, names: list[str], encodings: Sequence[Encoding]
    ) -> Iterator[tuple[Rows, list[Vectors]]]:
        """Rows, and what the graph says of them, batch by batch; what has nothing to read is in no batch."""
        lengths = np.array([len(one) * (not all(one.special_tokens_mask)) for one in encodings], np.int64)
        batches = cut_by_length(lengths, rows=self._batch_size, threads=self._threads)

        def answer(rows: Rows) -> list[Vectors]:
            found: list[Vectors] = self._session.run(names, _padded([encodings[row].ids for row in rows]))
            return found

        if self._threads == 1 or len(batches) < 2:
            yield from zip(batches, map(answer, batches), strict=True)
            return
        with ThreadPoolExecutor(min(self._threads, len(batches))) as pool:
            yield from zip(batches, pool.map(answer, batches), strict=True)

    def _tokenised(self, texts: Sequence[str]) -> list[Encoding]:
        """What the tokenizer makes of texts; places in a text stay what they are."""
        return list(self._tokenizer.encode_batch([readable(text, self._max_chars) for text in texts]))


def open_graph(graph: str | bytes) -> onnxruntime.InferenceSession:
    """An exported graph, from its file or its bytes, that reads a batch in the thread that asks."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    return onnxruntime.InferenceSession(
        graph, options, providers=["CPUExecutionProvider"], disabled_optimizers=_SLOW
    )


def _cores() -> int:
    """Those that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _padded(texts: Sequence[Sequence[int]]) -> Feed:
    """Any id does for padding: what is masked has no weight."""
    width = max(map(len, texts))
    ids = np.zeros((len(texts), width), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    return {"input_ids": ids, "attention_mask": mask}
