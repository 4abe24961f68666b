"""Off-policy evaluation: what another policy would have earned on the pages that were logged."""

from __future__ import annotations

from honeyguide.evaluate.ope.asking import Answer, ask, importance_weights
from honeyguide.evaluate.ope.cascade import CascadeDR
from honeyguide.evaluate.ope.direct import DM, DR, MRDR, SNDR, DRos, SwitchDR
from honeyguide.evaluate.ope.estimator import OffPolicy
from honeyguide.evaluate.ope.learning import DoublyRobustReplay, RejectionReplay
from honeyguide.evaluate.ope.model import Boosted, LeastVariance, Ridge
from honeyguide.evaluate.ope.pages import kish
from honeyguide.evaluate.ope.pseudoinverse import PI
from honeyguide.evaluate.ope.weighting import IIPS, IPS, SNIIPS, SNIPS

__all__ = [
    "DM", "DR", "IIPS", "IPS", "MRDR", "PI", "SNDR", "SNIIPS", "SNIPS", "Answer", "Boosted", "CascadeDR", "DRos",
    "DoublyRobustReplay", "LeastVariance", "OffPolicy", "RejectionReplay", "Ridge", "SwitchDR", "ask",
    "importance_weights", "kish",
]  # fmt: skip
