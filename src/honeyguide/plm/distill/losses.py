"""How far a student is from its teacher: what each loss of distillation compares.

All take the teacher's side first and give a scalar that is 0 where the student says the same; the teacher's side
carries no gradient.
"""

from __future__ import annotations

import torch
from torch.nn.functional import kl_div, log_softmax, smooth_l1_loss, softmax

_NEVER = -1e9
_LEAST = 1e-6


def soft_targets(teacher: torch.Tensor, student: torch.Tensor, temperature: float) -> torch.Tensor:
    """Divergence of the classes' chances, logits (n, classes) over the temperature (Hinton et al. 2015).

    Times the temperature's square, so that its gradients weigh against hard targets what they did without it.
    """
    wanted = softmax(teacher.float() / temperature, dim=-1)
    said = log_softmax(student.float() / temperature, dim=-1)
    return kl_div(said, wanted, reduction="batchmean") * temperature**2


def similarities(teacher: torch.Tensor, student: torch.Tensor, temperature: float) -> torch.Tensor:
    """Divergence of how alike each text is to the others of its batch, unit vectors (n, dim) (Fang et al. 2021)."""
    own = torch.eye(len(teacher), dtype=torch.bool, device=teacher.device)
    wanted = softmax((teacher @ teacher.T / temperature).masked_fill(own, _NEVER), dim=1)
    said = log_softmax((student @ student.T / temperature).masked_fill(own, _NEVER), dim=1)
    return kl_div(said, wanted, reduction="batchmean")


def distances(teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    """Huber loss of the distances between texts over their mean, vectors (n, dim) (RKD-D, Park et al. 2019)."""
    return smooth_l1_loss(_distances(student), _distances(teacher))


def _distances(vectors: torch.Tensor) -> torch.Tensor:
    first, second = torch.triu_indices(len(vectors), len(vectors), 1, device=vectors.device)
    # the root has no slope at 0, where two texts are the same
    apart = ((vectors[first] - vectors[second]).square().sum(1) + _LEAST).sqrt()
    return apart / apart.mean().clamp_min(_LEAST)


def states(teacher: torch.Tensor, student: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean squared error of hidden states (n, length, dim) where there is text, as a share of the teacher's own.

    TinyBERT's loss (Jiao et al. 2020), made free of how large a layer's states are.
    """
    there = mask.bool()
    wanted, said = teacher[there].float(), student[there].float()
    return (said - wanted).square().mean() / wanted.square().mean().clamp_min(_LEAST)


def relations(teacher: torch.Tensor, student: torch.Tensor, mask: torch.Tensor, heads: int) -> torch.Tensor:
    """Divergence of how tokens attend to each other by their queries, keys or values (n, length, dim).

    MiniLM v2 (Wang et al. 2021): both are cut into `heads` parts, so that their widths need not agree.
    """
    wanted, said = _relations(teacher, mask, heads), _relations(student, mask, heads)
    apart = (wanted.exp() * (wanted - said)).sum(-1)
    there = mask.bool().unsqueeze(1).expand(apart.shape)
    return apart[there].mean()


def _relations(vectors: torch.Tensor, mask: torch.Tensor, heads: int) -> torch.Tensor:
    """(n, heads, length, length) log-chances."""
    n, length, width = vectors.shape
    parts = vectors.float().reshape(n, length, heads, width // heads).transpose(1, 2)
    scores = parts @ parts.transpose(2, 3) / (width // heads) ** 0.5
    return log_softmax(scores.masked_fill(~mask.bool()[:, None, None, :], _NEVER), dim=-1)
