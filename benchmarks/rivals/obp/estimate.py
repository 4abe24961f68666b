"""The estimators of obp on rounds and pages that were written by the other side; values come back as JSON.

python -m rivals.obp.estimate rounds.npz OUT.json

`rounds.npz`: reward, action, pscore (n,), action_dist and q_hat (n, actions), most, shrink; and of whole pages
slate_id, position, slate_reward, and of logger and target the chances of each slot by itself and from the top.
"""

# mypy: disable-error-code="import-not-found,import-untyped"
from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from obp.ope import (
    DirectMethod,
    DoublyRobust,
    DoublyRobustWithShrinkage,
    InverseProbabilityWeighting,
    ReplayMethod,
    SelfNormalizedDoublyRobust,
    SelfNormalizedInverseProbabilityWeighting,
    SlateIndependentIPS,
    SlateRewardInteractionIPS,
    SwitchDoublyRobust,
)


def main(source: Path, target: Path) -> None:
    """What each estimator says."""
    given = dict(np.load(source, allow_pickle=False))
    rounds = {
        "reward": given["reward"],
        "action": given["action"],
        "pscore": given["pscore"],
        "action_dist": given["action_dist"][:, :, None],
        "estimated_rewards_by_reg_model": given["q_hat"][:, :, None],
        "position": np.zeros(len(given["reward"]), dtype=int),
    }
    estimators = {
        "IPS": InverseProbabilityWeighting(),
        "SNIPS": SelfNormalizedInverseProbabilityWeighting(),
        "DM": DirectMethod(),
        "DR": DoublyRobust(),
        "SNDR": SelfNormalizedDoublyRobust(),
        "SwitchDR": SwitchDoublyRobust(tau=float(given["most"])),
        "DRos": DoublyRobustWithShrinkage(lambda_=float(given["shrink"])),
    }
    found = {name: float(estimator.estimate_policy_value(**rounds)) for name, estimator in estimators.items()}
    # obp does not clip: a logger that showed nothing more seldom has just the clipped weights
    taken = given["action_dist"][np.arange(len(given["reward"])), given["action"]]
    often = rounds | {"pscore": np.maximum(given["pscore"], taken / float(given["most"]))}
    found["IPS clipped"] = float(InverseProbabilityWeighting().estimate_policy_value(**often))
    certain = np.eye(given["action_dist"].shape[1])[given["action_dist"].argmax(axis=1)]
    found["Replay"] = float(
        ReplayMethod().estimate_policy_value(**rounds | {"action_dist": certain[:, :, None]})
    )
    pages = {name: given[name] for name in ("slate_id", "position")}
    found["pages: IPS"] = float(
        SlateRewardInteractionIPS(len_list=int(given["slots"])).estimate_policy_value(
            reward=given["slate_reward"],
            pscore_cascade=given["logged_from_top"],
            evaluation_policy_pscore_cascade=given["target_from_top"],
            **pages,
        )
    )
    found["pages: IIPS"] = float(
        SlateIndependentIPS(len_list=int(given["slots"])).estimate_policy_value(
            reward=given["slate_reward"],
            pscore_item_position=given["logged_each"],
            evaluation_policy_pscore_item_position=given["target_each"],
            **pages,
        )
    )
    target.write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
