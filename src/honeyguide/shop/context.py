"""What a visitor is doing as a page is asked for: it counts for that page as if it had just been recorded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from honeyguide.errors import InvalidInput
from honeyguide.interests.users import History, ShopperModel
from honeyguide.types import Event


@dataclass(frozen=True, slots=True)
class Context:
    """The item that is looked at, and what was searched for; either may be missing. Neither is recorded.

    The page of an item does not show that item, and the page of a query is drawn from what the query may mean, unless
    it is said what the page is drawn from. InvalidInput.
    """

    item_id: str | None = None
    query: str | None = None

    def __post_init__(self) -> None:
        if "" in (self.item_id, self.query):
            raise InvalidInput("a context's item_id and query must not be empty: leave out what there is not")

    def after(self, history: History, model: ShopperModel, user_id: str, time: datetime) -> History:
        """The history with this as the latest that the user did; UnknownItem."""
        if self.item_id is not None:
            model.catalog.row(self.item_id)
            history = model.fold(history, Event("context:item", time, user_id, "view", item_id=self.item_id))
        if self.query is not None:
            history = model.fold(history, Event("context:query", time, user_id, "search", query=self.query))
        return history

    @property
    def looked_at(self) -> tuple[str, ...]:
        """The item that is looked at, or none."""
        return () if self.item_id is None else (self.item_id,)
