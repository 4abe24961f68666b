"""What the tests of policies share: the laws as pytest cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from honeyguide.checks.policy import CHECKS_LEARNING, CHECKS_POLICY
from honeyguide.explore.posterior import Prior, UserPosterior
from honeyguide.types import Policy


def posterior(dim: int) -> UserPosterior:
    """A posterior that knows nothing yet."""
    return UserPosterior(Prior.isotropic(dim))


def cases(makes: Mapping[str, Callable[[int], Policy]], *, learns: bool = True) -> list[Any]:
    """Every law of every policy, as `make` and `check`."""
    checks = (*CHECKS_POLICY, *(CHECKS_LEARNING if learns else ()))
    return [
        pytest.param(make, check, id=f"{name}:{check.__name__}")
        for name, make in makes.items()
        for check in checks
    ]


def is_protocol(kind: type) -> bool:
    """Whether a class only says what others have to have."""
    return bool(getattr(kind, "_is_protocol", False))
