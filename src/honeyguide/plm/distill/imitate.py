"""A student that learns to read texts as its teacher does: vectors, hidden states and relations, as one objective.

The words that a teacher would fill in are an objective of their own, for they are asked of texts with hidden places.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Self

import torch

from honeyguide.errors import InvalidInput
from honeyguide.plm.backbone import Backbone, pooled
from honeyguide.plm.batches import Shuffled
from honeyguide.plm.distill import losses
from honeyguide.plm.distill.student import depth, spread
from honeyguide.plm.heads.head import Feeding
from honeyguide.plm.objectives.masked import MaskedLanguage
from honeyguide.plm.shapes import stack
from honeyguide.plm.tokens import Tokens
from honeyguide.plm.train.feeds import Batch

_ATTENTION = re.compile(r"(^|\.)(query|key|value|[qkv]|[qkv]_lin|[qkv]_proj)$")


@dataclass(frozen=True, slots=True)
class Imitation:
    """How much each thing that the teacher does counts; 0 leaves it out."""

    vectors: float = 1.0
    """The text's vector itself: 1 less its cosine to the teacher's."""
    similarities: float = 1.0
    """How alike the texts of a batch are."""
    distances: float = 0.0
    """How far apart they are, one against all."""
    hidden: float = 1.0
    """Hidden states, the embeddings' and each layer's."""
    relations: float = 1.0
    """How tokens attend to each other in the last layer, by their queries, keys and values."""
    words: float = 0.0
    """The chances of hidden words; needs a teacher that has learned to fill them in."""
    temperature: float = 0.05
    """Of similarities: the lower, the more the nearest count."""
    words_temperature: float = 2.0
    words_hard: float = 0.5
    """The share of the words' loss that asks for the word that stood there, not for the teacher's chances."""

    def __post_init__(self) -> None:
        given = {part.name: getattr(self, part.name) for part in fields(self)}
        weights = {name: given[name] for name in (*_OF_TEXTS, "words")}
        if any(not weight >= 0 for weight in weights.values()) or not any(weights.values()):
            raise InvalidInput(f"weights must be at least 0 and not all 0, got {weights}")
        if not (self.temperature > 0 and self.words_temperature > 0 and 0 <= self.words_hard <= 1):
            raise InvalidInput(
                "temperatures must be above 0 and words_hard lie in 0..1, "
                f"got {self.temperature}, {self.words_temperature} and {self.words_hard}"
            )

    @property
    def weights(self) -> dict[str, float]:
        """What counts, and how much."""
        return {name: getattr(self, name) for name in (*_OF_TEXTS, "words") if getattr(self, name)}

    @property
    def of_texts(self) -> bool:
        """Whether anything but words is learned."""
        return any(getattr(self, name) for name in _OF_TEXTS)


_OF_TEXTS = ("vectors", "similarities", "distances", "hidden", "relations")


@dataclass(frozen=True, eq=False)
class TextFeed:
    """Batches of `ids` and `mask`, (n, length), of texts of alike lengths."""

    tokens: Tokens
    feeding: Feeding
    order: Shuffled

    @classmethod
    def of(cls, tokens: Tokens, feeding: Feeding) -> Self:
        """A feed over all texts."""
        return cls(tokens, feeding, feeding.order(tokens.lengths))

    def batch(self, number: int) -> Batch:
        """The batch of that number."""
        rows = self.order.batch(number)
        ids, mask = self.feeding.padded([self.tokens.text(int(row), self.feeding.limit) for row in rows])
        return {"ids": ids, "mask": mask}


class _Taught(torch.nn.Module):
    """Holds a teacher that learns nothing: no gradient, no dropout, however the student is told to train."""

    def __init__(self, teacher: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.teacher = teacher.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """As ever, but for the teacher."""
        super().train(mode)
        self.teacher.eval()
        return self


class ImitatedTexts(_Taught):
    """The weighted sum of what `Imitation` asks of texts.

    Where the student is narrower, its states and vectors are lifted to the teacher's width by learned maps that go
    when it has learned. `layers` says which of the teacher's layers, from 0 on, each of the student's stands for.
    """

    def __init__(
        self,
        teacher: Backbone,
        student: Backbone,
        asked: Imitation,
        *,
        layers: Sequence[int] | None = None,
    ) -> None:
        super().__init__(teacher.model.base_model)
        check_readable(teacher, student)
        self.student = student.model.base_model
        self.asked = asked
        self.pooling = teacher.pooling, student.pooling
        self.layers = tuple(layers) if layers is not None else spread(depth(teacher), depth(student))
        if len(self.layers) != depth(student) or not all(0 <= one < depth(teacher) for one in self.layers):
            raise InvalidInput(
                f"layers must name one of the teacher's {depth(teacher)} for each of the student's "
                f"{depth(student)}, got {list(self.layers)}"
            )
        heads = (one.model.config.num_attention_heads for one in (teacher, student))
        self.heads = math.gcd(*heads)
        wider = teacher.dim != student.dim
        self.lift_states = torch.nn.Linear(student.dim, teacher.dim) if wider and asked.hidden else None
        self.lift_vectors = (
            torch.nn.Linear(student.dim, teacher.dim, bias=False) if wider and asked.vectors else None
        )

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The loss, a scalar."""
        found = self.parts(ids, mask)
        return torch.stack([getattr(self.asked, name) * loss for name, loss in found.items()]).sum()

    def parts(self, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """Each loss that counts, by its name in `Imitation`."""
        with torch.no_grad():
            theirs, their_flow = self._read(self.teacher, ids, mask)
        ours, our_flow = self._read(self.student, ids, mask)
        found: dict[str, torch.Tensor] = {}
        if self.asked.hidden:
            found["hidden"] = self._hidden(theirs, ours, mask)
        if self.asked.relations:
            pairs = zip(their_flow, our_flow, strict=True)
            each = [losses.relations(wanted, said, mask, self.heads) for wanted, said in pairs]
            found["relations"] = torch.stack(each).mean()
        wanted = pooled(theirs[-1], mask, self.pooling[0])
        said = pooled(ours[-1], mask, self.pooling[1])
        if self.asked.vectors:
            lifted = said if self.lift_vectors is None else self.lift_vectors(said)
            found["vectors"] = 1 - torch.nn.functional.cosine_similarity(wanted, lifted.float(), dim=1).mean()
        if self.asked.similarities and len(ids) > 2:
            found["similarities"] = losses.similarities(wanted, said, self.asked.temperature)
        if self.asked.distances and len(ids) > 2:
            found["distances"] = losses.distances(wanted, said)
        return found or {
            "vectors": said.sum() * 0
        }  # a batch of one text has nothing beside it to be compared with

    def _read(
        self,
        base: Any,  # noqa: ANN401
        ids: torch.Tensor,
        mask: torch.Tensor,
    ) -> tuple[Sequence[torch.Tensor], list[torch.Tensor]]:
        """Hidden states, the embeddings' first, and what the last layer attends by."""
        flow: list[torch.Tensor] = []
        with _listening(base if self.asked.relations else None, flow):
            found = base(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        return found.hidden_states, flow

    def _hidden(
        self, theirs: Sequence[torch.Tensor], ours: Sequence[torch.Tensor], mask: torch.Tensor
    ) -> torch.Tensor:
        wanted = [theirs[0], *(theirs[layer + 1] for layer in self.layers)]
        lift = self.lift_states or torch.nn.Identity()
        pairs = zip(wanted, ours, strict=True)
        return torch.stack([losses.states(one, lift(other), mask) for one, other in pairs]).mean()


class ImitatedWords(_Taught):
    """The teacher's chances of hidden words, and the words themselves."""

    def __init__(self, teacher: Backbone, student: Backbone, asked: Imitation) -> None:
        super().__init__(MaskedLanguage(teacher.model))
        check_readable(teacher, student)
        self.student = MaskedLanguage(student.model)
        self.asked = asked

    def forward(
        self, ids: torch.Tensor, mask: torch.Tensor, places: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        """The loss, a scalar."""
        with torch.no_grad():
            theirs = self.teacher.logits(ids, mask, places)
        ours = self.student.logits(ids, mask, places)
        soft = losses.soft_targets(theirs, ours, self.asked.words_temperature)
        hard = torch.nn.functional.cross_entropy(ours, targets)
        return (1 - self.asked.words_hard) * soft + self.asked.words_hard * hard


def check_readable(teacher: Backbone, student: Backbone) -> None:
    """InvalidInput unless both cut texts into the same tokens."""
    if teacher.tokenizer.get_vocab() != student.tokenizer.get_vocab():
        raise InvalidInput(
            "teacher and student cut texts differently: choose a student with the teacher's tokenizer, "
            "or make one of the teacher with student_of()"
        )


@contextmanager
def _listening(base: Any, flow: list[torch.Tensor]) -> Iterator[None]:  # noqa: ANN401
    """Append to `flow` the queries, keys and values of the last layer as they are computed; nothing where None."""
    hooks = []
    if base is not None:
        last = base.get_submodule(stack(base))[-1]
        linear = [one for name, one in last.named_modules() if _ATTENTION.search(name)]
        if not linear:
            raise InvalidInput(
                f"it is not known where a {base.config.model_type} model attends: set relations to 0"
            )
        hooks = [one.register_forward_hook(lambda _, __, out: flow.append(out)) for one in linear]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
