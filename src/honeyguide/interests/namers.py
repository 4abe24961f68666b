"""Who chooses a node's name: the shop's words propose, and a language model that reads them may choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from scipy.sparse import csr_array

from honeyguide.interests.naming import Candidate, Vocabulary, distinct_name, name_candidates, stems
from honeyguide.interests.taxonomy import NO_PARENT, depths, seen_from
from honeyguide.types import Encoder, Floats, Rows, Vectors

_REPEATED = 0.5  # of the score, where all words of a name stand in a name above it


@dataclass(frozen=True, slots=True, eq=False)
class Meaning:
    """What a node holds, as a language model can take it: a unit vector (d,) and some items' titles."""

    vector: Vectors
    examples: tuple[str, ...]


class Namer(Protocol):
    """A language model's opinion of names."""

    @property
    def weight(self) -> float:
        """What it adds to a name's score, where what the words propose has 1, for every standard deviation."""
        ...

    @property
    def version(self) -> str:
        """Equal versions prefer alike; where it changes, all nodes are named anew."""
        ...

    def prefer(self, meanings: Sequence[Meaning], names: Sequence[Sequence[str]]) -> list[Floats]:
        """For each node a score of each of its names, in any unit; higher is better."""
        ...


class EncoderNamer:
    """Prefers names that mean what the node holds: the cosine of the encoded name and the node's vector."""

    weight = 0.3

    def __init__(self, encoder: Encoder, centre: Vectors) -> None:
        self.encoder = encoder
        self.centre = centre

    @property
    def version(self) -> str:
        """That of its way of choosing: a name outlives the encoder that chose it."""
        return "encoder"

    def prefer(self, meanings: Sequence[Meaning], names: Sequence[Sequence[str]]) -> list[Floats]:
        """Each distinct name is encoded once."""
        distinct = {name: row for row, name in enumerate(dict.fromkeys(n for some in names for n in some))}
        vectors = seen_from(self.encoder.encode(list(distinct)), self.centre)
        return [
            (vectors[[distinct[name] for name in some]] @ meaning.vector).astype(np.float64)
            for meaning, some in zip(meanings, names, strict=True)
        ]


@dataclass(frozen=True, slots=True, eq=False)
class Naming:
    """Names the nodes of a tree, from the top: `kept` are those that stay, by node, `meanings` one per node."""

    vocabulary: Vocabulary
    node_parent: Rows
    leaves: int
    meanings: Sequence[Meaning]
    namers: Sequence[Namer] = ()
    kept: dict[int, str] = field(default_factory=dict)

    def names(self, weight: csr_array) -> tuple[str, ...]:
        """(nodes,) distinct names, given what each text weighs in each node (nodes, m).

        A name is the best candidate that says little of what a name above it says. A top interest with one child is
        named as that is.
        """
        depth = depths(self.node_parent)
        candidates = self._candidates(weight, depth)
        size = np.asarray(weight.sum(axis=1)).ravel()
        only_child = self._only_children()
        names = dict(self.kept)
        for node in sorted(range(len(depth)), key=lambda node: (depth[node], -size[node], node)):
            if node not in names and node not in only_child:
                ranked = _against(candidates[node], self._above(node, names))
                names[node] = distinct_name(ranked, set(names.values()))
        names |= {top: names[child] for top, child in only_child.items()}
        return tuple(names[node] for node in range(len(depth)))

    def _only_children(self) -> dict[int, int]:
        """The child of each top interest that has but one."""
        children: dict[int, list[int]] = {}
        for node, parent in enumerate(self.node_parent.tolist()):
            children.setdefault(parent, []).append(node)
        tops = np.flatnonzero(self.node_parent == NO_PARENT).tolist()
        return {top: children[top][0] for top in tops if len(children[top]) == 1}

    def _candidates(self, weight: csr_array, depth: Rows) -> list[list[Candidate]]:
        """For every node; nodes are told from those of their level."""
        nodes = np.arange(len(depth))
        between = nodes >= self.leaves
        pools = [nodes[between & (depth == level)] for level in range(int(depth.max()))]
        found: list[list[Candidate]] = [[] for _ in nodes]
        for pool, longest in [*((pool, 3) for pool in pools), (nodes[: self.leaves], 2)]:
            if len(pool):
                named = name_candidates(self.vocabulary, weight[pool], longest=longest)
                for node, some in zip(pool.tolist(), named, strict=True):
                    found[node] = some
        return self._preferred(found) if self.namers else found

    def _preferred(self, found: list[list[Candidate]]) -> list[list[Candidate]]:
        """The candidates with what the models add to their scores."""
        asked = [node for node, some in enumerate(found) if len(some) > 1 and node not in self.kept]
        names = [[one.name for one in found[node]] for node in asked]
        lifts = [np.zeros(len(some)) for some in names]
        for namer in self.namers:
            liked = namer.prefer([self.meanings[node] for node in asked], names)
            lifts = [lift + namer.weight * _standard(some) for lift, some in zip(lifts, liked, strict=True)]
        for node, lift in zip(asked, lifts, strict=True):
            found[node] = [
                Candidate(one.name, one.score + float(more), one.said)
                for one, more in zip(found[node], lift, strict=True)
            ]
        return found

    def _above(self, node: int, names: dict[int, str]) -> set[str]:
        """The stems of what the names above a node say."""
        said: set[str] = set()
        while (node := int(self.node_parent[node])) != NO_PARENT:
            said |= stems(names.get(node, ""))
        return said


def _standard(scores: Floats) -> Floats:
    return np.asarray((scores - scores.mean()) / max(float(scores.std()), 1e-9))


def _against(candidates: list[Candidate], above: set[str]) -> list[Candidate]:
    """The candidates, those last that say what is said above."""

    def worth(one: Candidate) -> float:
        return one.score - _REPEATED * len(one.said & above) / max(len(one.said), 1)

    return sorted(candidates, key=worth, reverse=True)
