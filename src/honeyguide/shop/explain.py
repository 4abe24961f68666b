"""Why an item is on the page, in words that a shopper or a shop's manager understands."""

from __future__ import annotations

from honeyguide.explore.decide import Explain
from honeyguide.interests.taxonomy import Taxonomy
from honeyguide.interests.users import BEHAVIOUR, DAY_US, MILLI, History, ShopperModel
from honeyguide.types import Rows, Vectors

_POPULARITY = BEHAVIOUR.index("popularity")
_IN_LEAF = BEHAVIOUR.index("interest share")
_IN_TOP = BEHAVIOUR.index("top interest share")


class Explainer:
    """Turns what the features say into a sentence."""

    def __init__(self, model: ShopperModel, taxonomy: Taxonomy) -> None:
        self.model = model
        self.taxonomy = taxonomy

    def of(self, history: History, rows: Rows, features: Vectors, now_us: int) -> Explain:
        """The explanation of one request's candidates, composed only for what is shown."""

        def explain(index: int, explored: bool) -> str:
            reason = self._known(history, int(rows[index]), now_us) or self._guessed(rows, features, index)
            return f"{reason}; shown to find out" if explored else reason

        return explain

    def _known(self, history: History, row: int, now_us: int) -> str | None:
        at, known = history.position(row)
        if not known:
            return None
        times = max(round(int(history.weight[at]) / MILLI), 1)
        days = max((now_us - int(history.last_us[at])) // DAY_US, 0)
        often = "once" if times == 1 else "twice" if times == 2 else f"{times} times"
        return f"taken {often}, last {days} day{'s' if days != 1 else ''} ago"

    def _guessed(self, rows: Rows, features: Vectors, index: int) -> str:
        leaf = int(self.model.items.leaf[rows[index]])
        name = self.taxonomy.leaf_names[leaf]
        seen = features[index]
        if seen[_IN_LEAF] > 0:
            return f"new to them, from {name}, an interest with {seen[_IN_LEAF] ** 2:.0%} of what they take"
        if seen[_IN_TOP] > 0:
            return f"new ground next to what they know: {name}"
        if seen[_POPULARITY] > 0.8:
            return f"many shoppers take it: {name}"
        return f"new ground: {name}"
