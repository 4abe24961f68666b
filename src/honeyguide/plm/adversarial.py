"""Learning against the worst that a small shift of the word embeddings does: FGM and PGD.

FGM (Miyato et al. 2017) shifts once, along the gradient; PGD (Madry et al. 2018) in several steps that never leave a
ball. What is shifted is what the embeddings give for each text, not the table of embeddings: no weight is ever
touched, how far a text is shifted does not depend on which others share its batch, tables that are frozen or also
serve as a decoder need no care, and memory follows the batch, not the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from honeyguide.errors import InvalidInput
from honeyguide.plm.train.terms import Losses, Pass

_TINY = 1e-30

FindWords = Callable[[torch.nn.Module], Sequence[torch.nn.Module]]
"""The modules of a model whose outputs (texts, length, dim) are word embeddings."""


def word_embeddings(module: torch.nn.Module) -> list[torch.nn.Module]:
    """The input embeddings of every transformer in `module`, each once."""
    found: dict[int, torch.nn.Module] = {}
    for part in module.modules():
        ask = getattr(part, "get_input_embeddings", None)
        try:
            words = ask() if ask else None
        except (
            NotImplementedError
        ):  # how transformers says that a part, a head for one, has no words to shift
            continue
        if isinstance(words, torch.nn.Module):
            found[id(words)] = words
    return list(found.values())


@dataclass(frozen=True, slots=True)
class Adversary:
    """A `Backward` that learns from the batch as it is and, for `share` of the loss, shifted against the model.

    In `steps` steps of length `step` a text's embeddings move along their gradient and stay within `epsilon` of where
    they were (Euclidean, over the whole text). The figures gain `adversarial`, the loss under the last shift; `loss`
    is what is minimised.
    """

    epsilon: float
    steps: int
    step: float
    share: float = 0.5
    words: FindWords = word_embeddings

    def __post_init__(self) -> None:
        if not (self.epsilon >= 0 and self.step >= 0):
            raise InvalidInput(f"epsilon and step must be at least 0, got {self.epsilon} and {self.step}")
        if self.steps < 1:
            raise InvalidInput(f"steps must be at least 1, got {self.steps}")
        if not 0 < self.share < 1:
            raise InvalidInput(f"share must lie between 0 and 1, got {self.share}")

    def __call__(self, losses: Pass, module: torch.nn.Module, factor: float) -> Losses:
        """Add the gradients of factor x loss to the parameters; steps + 1 forward and backward passes."""
        words = self.words(module)
        shifts: list[torch.Tensor] = []
        with _shifted(words, shifts):
            clean = losses(last=False)
        if not shifts:
            raise InvalidInput(
                "this model looks no word embeddings up: give Adversary the `words` that it does"
            )
        (factor * (1 - self.share) * clean["loss"]).backward()  # type: ignore[no-untyped-call]
        shifts = [self._moved(shift, shift.grad) for shift in shifts]
        for _ in range(self.steps - 1):
            with _shifted(words, shifts):
                loss = losses(last=False)["loss"]
            slopes = torch.autograd.grad(loss, shifts, allow_unused=True)
            shifts = [self._moved(shift, slope) for shift, slope in zip(shifts, slopes, strict=True)]
        with _shifted(words, shifts):
            worst = losses()["loss"]
        (factor * self.share * worst).backward()  # type: ignore[no-untyped-call]
        loss = (1 - self.share) * clean["loss"].detach() + self.share * worst.detach()
        return {**clean, "adversarial": worst.detach(), "loss": loss}

    def _moved(self, shift: torch.Tensor, slope: torch.Tensor | None) -> torch.Tensor:
        """The shift after a step along the slope, back within the ball where it has left it."""
        if slope is None:  # the loss does not depend on this look-up
            return shift.detach().requires_grad_()
        moved = shift.detach() + self.step * _unit(slope)
        within = (self.epsilon / _norms(moved).clamp(min=_TINY)).clamp(max=1)
        return (moved * within).requires_grad_()


def fgm(epsilon: float, *, share: float = 0.5, words: FindWords = word_embeddings) -> Adversary:
    """One step to the edge of the ball."""
    return Adversary(epsilon, 1, epsilon, share, words)


def pgd(
    epsilon: float,
    *,
    steps: int = 3,
    step: float | None = None,
    share: float = 0.5,
    words: FindWords = word_embeddings,
) -> Adversary:
    """`steps` steps within the ball, by default each long enough that half of them would reach its edge."""
    return Adversary(epsilon, steps, 2 * epsilon / steps if step is None else step, share, words)


@contextmanager
def _shifted(words: Sequence[torch.nn.Module], shifts: list[torch.Tensor]) -> Iterator[None]:
    """Add the i-th of `shifts` to the i-th look-up; an empty list is filled with zeros that take a gradient."""
    given = len(shifts)
    seen = 0

    def shift(_module: torch.nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
        nonlocal seen
        if not given:
            shifts.append(torch.zeros_like(output, requires_grad=True))
        seen += 1
        return output + shifts[seen - 1]

    handles = [module.register_forward_hook(shift) for module in words]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _unit(slope: torch.Tensor) -> torch.Tensor:
    """Each text's slope with norm 1; one that is 0 everywhere stays."""
    norms = _norms(slope)
    return slope / torch.where(norms > 0, norms, 1.0)


def _norms(tensor: torch.Tensor) -> torch.Tensor:
    """(texts, 1, 1): the Euclidean norm over all words of each text."""
    norms: torch.Tensor = torch.linalg.vector_norm(tensor, dim=tuple(range(1, tensor.ndim)), keepdim=True)
    return norms
