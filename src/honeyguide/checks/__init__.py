"""Conformance suites: the laws of each contract, for our parts and for yours.

    from honeyguide.checks import check_policy
    check_policy(lambda dim: MyPolicy(dim))

Each suite raises `LawBroken`, an AssertionError that names the law.
"""

from honeyguide.checks.encoder import check_encoder
from honeyguide.checks.estimator import check_estimator
from honeyguide.checks.journal import check_journal
from honeyguide.checks.policy import LawBroken, check_policy
from honeyguide.checks.posterior import check_posterior
from honeyguide.checks.retriever import check_retriever
from honeyguide.checks.user_model import check_user_model

__all__ = [
    "LawBroken",
    "check_encoder",
    "check_estimator",
    "check_journal",
    "check_policy",
    "check_posterior",
    "check_retriever",
    "check_user_model",
]
