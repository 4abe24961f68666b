"""A language model made smaller before it serves: words, heads, neurons and weights that a shop does not need go.

Nothing is trained: what stays is refitted on the shop's texts. Whether enough is left is for the parity gate to say.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from honeyguide import artifacts
from honeyguide.errors import InvalidInput
from honeyguide.plm.backbone import Backbone, checkpoint_files, open_backbone
from honeyguide.plm.card import Card, checkpoint_name, render_card
from honeyguide.plm.compress.calibrate import even_batches, input_norms
from honeyguide.plm.compress.magnitude import Gradual, Pruning, matrices, over_all
from honeyguide.plm.compress.structured import Cut, prune
from honeyguide.plm.compress.two_four import two_of_four
from honeyguide.plm.compress.vocabulary import Trimmed, trim_vocabulary
from honeyguide.plm.corpus import ItemPairs
from honeyguide.plm.export import checkpoint_key, find_checkpoint, prompts_of
from honeyguide.plm.files import CARD, COMPACT
from honeyguide.plm.objectives.contrastive import Contrastive, PairFeed
from honeyguide.plm.tokens import tokens_of

_CALIBRATE = 1000  # texts that say what flows where
_JUDGE = 12  # batches of pairs that say what matters
_ROWS = 32


@dataclass(frozen=True, slots=True)
class Cuts:
    """What goes: tokens no text needs, shares of heads and of neurons, and a share of weights that become 0."""

    vocabulary: bool = False
    heads: float = 0.0
    neurons: float = 0.0
    weights: float = 0.0
    two_of_four: bool = False

    def __bool__(self) -> bool:
        return any(asdict(self).values())


def compact(
    models: Path,
    checkpoint: str,
    cuts: Cuts,
    *,
    texts: Sequence[str],
    pairs: ItemPairs | None = None,
    max_tokens: int,
    seed: int = 0,
) -> str:
    """Store the checkpoint with `cuts` made as the current compact model, unless it is; returns the version.

    `texts` are what it will read and `pairs` rows of them that users took together: heads and neurons that matter
    little for those go. InvalidInput where there are none.
    """
    told = None if pairs is None else [pairs.first.tolist(), pairs.second.tolist()]
    about = checkpoint_key(checkpoint, max_tokens)
    key = artifacts.key_of("compact 1", about, asdict(cuts), list(texts), told, seed)
    if known := artifacts.load_if_made_from(models, COMPACT, key):
        return known.version
    with ExitStack() as stack:
        folder, trimmed = find_checkpoint(checkpoint), None
        if cuts.vocabulary:
            smaller = Path(stack.enter_context(TemporaryDirectory()))
            trimmed = trim_vocabulary(folder, texts, smaller)
            folder = smaller
        backbone = open_backbone(str(folder), "encoder", seed=seed)
        before = _parameters(backbone)
        _cut(backbone, cuts, texts, pairs, max_tokens, seed)
        files = checkpoint_files(backbone)
    files[CARD] = render_card(
        _card(checkpoint, cuts, trimmed, (before, _parameters(backbone)), len(texts))
    ).encode()
    return artifacts.save(models, COMPACT, {}, {"key": key, "cuts": json.dumps(asdict(cuts))}, files)


def _cut(
    backbone: Backbone,
    cuts: Cuts,
    texts: Sequence[str],
    pairs: ItemPairs | None,
    max_tokens: int,
    seed: int,
) -> None:
    begins = prompts_of(backbone.folder).get("passage", "")  # as it will when the catalogue is read
    read = [begins + text for text in texts]
    sample = tokens_of(
        [text for text in dict.fromkeys(read) if text.strip()][:_CALIBRATE], backbone.fast_tokenizer
    )
    limit = min(max_tokens, backbone.longest)
    calibration = list(even_batches(sample, backbone.special, limit=limit))
    if cuts.heads or cuts.neurons:
        if pairs is None or not len(pairs):
            raise InvalidInput(
                "what heads and neurons matter is judged by what users take together, and there is no such pair: "
                "set [compress] heads and neurons to 0, or import users' events"
            )
        feed = PairFeed.of(
            tokens_of(read, backbone.fast_tokenizer), pairs.first, pairs.second, backbone.special,
            max_tokens=limit, rows=_ROWS, seed=seed,
        )  # fmt: skip
        objective = Contrastive(backbone.model, backbone.pooling)
        batches = [feed.batch(number) for number in range(_JUDGE)]
        prune(backbone.model, Cut(cuts.heads, cuts.neurons), objective, batches, calibration=calibration)
    if cuts.weights or cuts.two_of_four:
        norms = input_norms(backbone.model, list(matrices(backbone.model)), calibration)
        masker = two_of_four if cuts.two_of_four else over_all
        Pruning(backbone.model, Gradual(cuts.weights or 0.5), masker=masker, norms=norms).finish()


def _parameters(backbone: Backbone) -> int:
    return sum(p.numel() for p in backbone.model.parameters() if isinstance(p, torch.nn.Parameter))


def _card(
    checkpoint: str, cuts: Cuts, trimmed: Trimmed | None, parameters: tuple[int, int], texts: int
) -> Card:
    how = [f"{parameters[0]:,} parameters before, {parameters[1]:,} after"]
    if trimmed is not None:
        how.insert(0, f"{trimmed.after:,} of {trimmed.before:,} tokens kept")
    shares = {"heads": cuts.heads, "neurons": cuts.neurons}
    how += [f"{share:.0%} of the {name} taken out" for name, share in shares.items() if share]
    if cuts.weights or cuts.two_of_four:
        pattern = ", two of every four" if cuts.two_of_four else ""
        how.append(f"{cuts.weights or 0.5:.0%} of the weights set to 0{pattern}")
    return Card(
        title="A shop's language model, made smaller",
        base=checkpoint_name(checkpoint),
        purpose="reads items and searches of this shop with less than the model that it was made from",
        made_from=(f"{texts:,} texts of the shop that say what is needed; nothing was trained",),
        how=tuple(how),
        figures=(),
    )
