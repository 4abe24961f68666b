"""Storing a taught task as an artefact that serves without torch: `head_serving` opens it."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

from honeyguide import artifacts
from honeyguide.plm.adapters.bank import fingerprint
from honeyguide.plm.export import checked_graph, quiet
from honeyguide.plm.files import GRAPH, TOKENIZER
from honeyguide.plm.heads.head import Reader
from honeyguide.plm.tuned import Tuned


def export_task(root: Path, tuned: Tuned[Any], *, name: str) -> str:
    """Store the task as the current artefact `name` under `root`, adapter and all, unless it is; returns the version.

    Bottleneck adapters become part of the graph; low-rank ones as well, though merging them first makes it smaller
    and faster.
    """
    backbone = tuned.backbone
    about = {"head": tuned.head.about(), "dim": backbone.dim, "max_tokens": tuned.feeding.max_tokens}
    model = copy.deepcopy(tuned.reader.base).float().cpu().eval()
    arrays = tuned.head.arrays()
    # which adapter works does not show in the weights: its name tells
    digest = hashlib.sha256(json.dumps([about, backbone.pooling, tuned.name, fingerprint(model)]).encode())
    for array in arrays.values():
        digest.update(array.tobytes())
    key = digest.hexdigest()
    if known := artifacts.load_if_made_from(root, name, key):
        return known.version
    with quiet():
        model.set_attn_implementation("eager")  # the plainest graph
    head = copy.deepcopy(tuned.head).cpu().eval()
    module, output = head.graph(Reader(model, backbone.pooling))
    files = {
        GRAPH: checked_graph(module.eval(), output),
        TOKENIZER: backbone.tokenizer.backend_tokenizer.to_str().encode(),
    }
    return artifacts.save(root, name, arrays, {"key": key, **about}, files)
