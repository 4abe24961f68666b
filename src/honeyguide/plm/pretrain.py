"""Adapting a pre-trained language model to a shop by self-supervised learning, several objectives at once.

BERT-like models learn to fill in hidden words, to tell what follows what, and to put together what is taken together;
GPT-like ones learn to read on. Going on with a model's own pre-training on a domain's text is what Gururangan et al.
(2020) call domain-adaptive pre-training.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from honeyguide.errors import InvalidInput
from honeyguide.plm.backbone import Backbone
from honeyguide.plm.corpus import ItemPairs
from honeyguide.plm.objectives.causal import CausalFeed, CausalLanguage, causal_perplexity
from honeyguide.plm.objectives.contrastive import Contrastive, PairFeed
from honeyguide.plm.objectives.following import Following, FollowingFeed
from honeyguide.plm.objectives.masked import MaskedFeed, MaskedLanguage, perplexity
from honeyguide.plm.objectives.neighbours import NeighbourFeed, Neighbours
from honeyguide.plm.tokens import Tokens
from honeyguide.plm.track import Tracker
from honeyguide.plm.train.devices import Place
from honeyguide.plm.train.loop import Outcome, train
from honeyguide.plm.train.schedule import Schedule
from honeyguide.plm.train.terms import Backward, Term, plain
from honeyguide.types import Progress, silent


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each objective counts; 0 leaves it out."""

    masked: float = 1.0
    following: float = 0.0
    contrastive: float = 0.0
    causal: float = 0.0
    neighbours: float = 0.0

    def __post_init__(self) -> None:
        given = asdict(self)
        if any(not weight >= 0 for weight in given.values()) or not any(given.values()):
            raise InvalidInput(f"weights must be at least 0 and not all 0, got {given}")
        if self.causal and any((self.masked, self.following, self.contrastive, self.neighbours)):
            raise InvalidInput("a causal model reads on and fills nothing in: set the other weights to 0")


@dataclass(frozen=True, slots=True)
class Reading:
    """How texts are cut and put together."""

    max_tokens: int = 64
    batch_tokens: int = 4096
    pairs: int = 64
    """Pairs in a contrastive batch: the more, the more negatives."""
    masked_share: float = 0.15
    whole_words: bool = True
    temperature: float = 0.05
    correct_popularity: bool = True
    items: int = 64
    """Items in a batch that learns neighbours among the whole catalogue."""
    neighbours_temperature: float = 0.1
    look_tokens: int = 65_536
    """Tokens of held-out texts that are looked at, so that looking takes no longer than learning."""


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What is learned from: texts, held-out texts, and the items' texts with pairs of their rows."""

    texts: Tokens
    held_out: Tokens
    items: Tokens | None = None
    pairs: ItemPairs | None = None


@dataclass(frozen=True, slots=True)
class Pretraining:
    """What pre-training gave: perplexity on held-out texts before and after, where words were learned."""

    outcome: Outcome
    before: float | None
    after: float | None


def pretrain(
    backbone: Backbone,
    material: Material,
    weights: Weights,
    schedule: Schedule,
    *,
    place: Place,
    folder: Path,
    reading: Reading | None = None,
    tracker: Tracker | None = None,
    backward: Backward = plain,
    progress: Progress = silent,
) -> Pretraining:
    """Train `backbone.model` in place; checkpoints lie in `folder`, and a killed run goes on from there.

    The weights kept are those with the lowest held-out perplexity, where words are among what is learned.
    """
    how = reading or Reading()
    with torch.random.fork_rng():
        torch.manual_seed(schedule.seed)  # new heads begin the same in every process and after every kill
        terms = _terms(backbone, material, weights, how, schedule.seed)
    look = _look(terms, backbone, material, how, place)
    for term in terms:
        term.module.to(place.device)
    before = look()["perplexity"] if look else None
    key = _key(backbone, material, weights, schedule, how)
    outcome = train(
        terms, schedule, place=place, folder=folder, key=key, evaluate=look, tracker=tracker, backward=backward,
        progress=progress,
    )  # fmt: skip
    after = look()["perplexity"] if look else None
    return Pretraining(outcome, before, after)


def _terms(backbone: Backbone, material: Material, weights: Weights, how: Reading, seed: int) -> list[Term]:
    model, special = backbone.model, backbone.special
    limit = min(how.max_tokens, backbone.longest)
    terms: list[Term] = []
    if weights.causal:
        rows = max(1, how.batch_tokens // limit)
        feed = CausalFeed(material.texts, special.last, limit, rows, seed)
        terms.append(Term("causal", CausalLanguage(model), feed, weights.causal))
    if weights.masked:
        masked = MaskedFeed.of(
            material.texts,
            special,
            max_tokens=limit,
            batch_tokens=how.batch_tokens,
            share=how.masked_share,
            whole_words=how.whole_words,
            seed=seed,
        )
        terms.append(Term("masked", MaskedLanguage(model), masked, weights.masked))
    if weights.following:
        items, pairs = _pairs(material)
        following = FollowingFeed.of(
            items,
            pairs.first,
            pairs.second,
            special,
            max_tokens=limit,
            batch_tokens=how.batch_tokens,
            seed=seed,
        )
        terms.append(Term("following", Following(model.base_model), following, weights.following))
    if weights.contrastive:
        items, pairs = _pairs(material)
        together = PairFeed.of(
            items, pairs.first, pairs.second, special, max_tokens=limit, rows=how.pairs, seed=seed
        )
        module = Contrastive(
            model.base_model, backbone.pooling, temperature=how.temperature, correct=how.correct_popularity
        )
        terms.append(Term("contrastive", module, together, weights.contrastive))
    if weights.neighbours:
        items, pairs = _pairs(material)
        near = NeighbourFeed.of(items, pairs, special, max_tokens=limit, rows=how.items, seed=seed)
        found = Neighbours(
            model.base_model,
            backbone.pooling,
            len(items),
            backbone.dim,
            temperature=how.neighbours_temperature,
        )
        terms.append(Term("neighbours", found, near, weights.neighbours))
    return terms


def _pairs(material: Material) -> tuple[Tokens, ItemPairs]:
    if material.items is None or material.pairs is None or not len(material.pairs):
        raise InvalidInput(
            "this objective learns from what users took one after the other: there is no such pair"
        )
    return material.items, material.pairs


class _Look:
    """Held-out perplexity of the first term that predicts words."""

    def __init__(self, term: Term, feed: MaskedFeed | CausalFeed, place: Place, how: Reading) -> None:
        self._term, self._feed, self._place = term, feed, place
        self._most = max(1, how.look_tokens // how.batch_tokens)

    def __call__(self) -> Mapping[str, float]:
        module, device = self._term.module, self._place.device
        if isinstance(module, MaskedLanguage) and isinstance(self._feed, MaskedFeed):
            return {"perplexity": perplexity(module, self._feed, device, most=self._most)}
        assert isinstance(module, CausalLanguage)
        assert isinstance(self._feed, CausalFeed)
        return {"perplexity": causal_perplexity(module, self._feed, device, most=self._most)}


def _look(
    terms: list[Term], backbone: Backbone, material: Material, how: Reading, place: Place
) -> _Look | None:
    if not len(material.held_out):
        return None
    limit = min(how.max_tokens, backbone.longest)
    for term in terms:
        if isinstance(term.module, MaskedLanguage):
            feed = MaskedFeed.of(
                material.held_out,
                backbone.special,
                max_tokens=limit,
                batch_tokens=how.batch_tokens,
                share=how.masked_share,
                whole_words=how.whole_words,
            )
            return _Look(term, feed, place, how)
        if isinstance(term.module, CausalLanguage):
            block = min(limit, len(material.held_out.ids) + len(material.held_out))
            rows = max(1, how.batch_tokens // limit)
            causal = CausalFeed(material.held_out, backbone.special.last, block, rows)
            return _Look(term, causal, place, how)
    return None


def _key(backbone: Backbone, material: Material, weights: Weights, schedule: Schedule, how: Reading) -> str:
    """What a checkpoint must have been made from to be gone on with."""
    digest = hashlib.sha256(json.dumps([asdict(weights), asdict(schedule), asdict(how)]).encode())
    digest.update(str(backbone.model.config.to_json_string()).encode())
    for tokens in (material.texts, material.held_out, material.items):
        if tokens is not None:
            digest.update(np.ascontiguousarray(tokens.ids).data)
            digest.update(np.ascontiguousarray(tokens.starts).data)
    if material.pairs is not None:
        digest.update(np.ascontiguousarray(material.pairs.first).data)
        digest.update(np.ascontiguousarray(material.pairs.second).data)
    return digest.hexdigest()
