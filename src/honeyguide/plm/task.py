"""Storing a taught task as an artefact that serves without torch: `head_serving` opens it."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honeyguide import artifacts
from honeyguide.plm.adapters.bank import fingerprint
from honeyguide.plm.export import checked_graph, quiet
from honeyguide.plm.files import GRAPH, TOKENIZER
from honeyguide.plm.heads.head import Reader
from honeyguide.plm.tuned import Tuned
from honeyguide.types import State


def export_task(
    root: Path,
    tuned: Tuned[Any],
    *,
    name: str,
    key: str | None = None,
    arrays: State | None = None,
    meta: Mapping[str, Any] | None = None,
    files: Mapping[str, bytes] | None = None,
) -> str:
    """Store the task as the current artefact `name` under `root`, adapter and all, unless it is; returns the version.

    Bottleneck adapters become part of the graph; low-rank ones as well, though merging them first makes it smaller
    and faster. `key` says what the task was made from, where that is not told by the task itself; further `arrays`,
    `meta` and `files` lie beside it.
    """
    backbone = tuned.backbone
    about = {"head": tuned.head.about(), "dim": backbone.dim, "max_tokens": tuned.feeding.max_tokens}
    model = copy.deepcopy(tuned.reader.base).float().cpu().eval()
    own = tuned.head.arrays()
    made_from = key or _content_key(about, tuned, fingerprint(model))
    if known := artifacts.load_if_made_from(root, name, made_from):
        return known.version
    with quiet():
        model.set_attn_implementation("eager")  # the plainest graph
    head = copy.deepcopy(tuned.head).cpu().eval()
    module, output = head.graph(Reader(model, backbone.pooling))
    stored = {
        GRAPH: checked_graph(module.eval(), output),
        TOKENIZER: backbone.tokenizer.backend_tokenizer.to_str().encode(),
    }
    return artifacts.save(
        root,
        name,
        {**(arrays or {}), **own},
        {**(meta or {}), "key": made_from, **about},
        {**(files or {}), **stored},
    )


def _content_key(about: Mapping[str, Any], tuned: Tuned[Any], weights: str) -> str:
    """A hash of the task itself. Which adapter works does not show in the weights: its name tells."""
    digest = hashlib.sha256(json.dumps([about, tuned.backbone.pooling, tuned.name, weights]).encode())
    for array in tuned.head.arrays().values():
        digest.update(array.tobytes())
    return digest.hexdigest()
