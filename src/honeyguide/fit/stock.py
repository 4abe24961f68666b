"""The stage of a fit that takes what was put and deleted while the shop served into its catalogue."""

from __future__ import annotations

from contextlib import closing

from honeyguide import artifacts
from honeyguide.data.restock import restock
from honeyguide.errors import NoArtifact
from honeyguide.journal.codec import from_us
from honeyguide.journal.protocol import ItemChange, Journal
from honeyguide.shop.releases import POLICY
from honeyguide.shop.stock import Stock
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Stage

_BATCH = 500  # journal records read at once: about 7 MB of decisions


def stock_stage(workspace: Workspace, journal_offset: int, stage: Stage) -> None:
    """Take in the changes of items that the journal holds up to an offset, and that no fit before has taken in.

    What serves after this fit begins with the changes behind that offset. Cut off, it takes in the same again.
    """
    with closing(workspace.open_journal()) as journal:
        stock = _changed(journal, _taken_in(workspace), journal_offset)
    if not stock.changes:
        return
    with stage("Take in the items that were put and deleted"):
        puts = {
            name: (put.item, from_us(stock.came_us[name]))
            for name, put in stock.puts.items()
            if put.item is not None
        }
        restock(workspace.data, puts, stock.deleted)


def _changed(journal: Journal, after: int, until: int) -> Stock:
    stock = Stock()
    while after < until and (records := journal.read(after, _BATCH, decisions=False)):
        for record in records:
            if isinstance(record.entry, ItemChange) and record.offset <= until:
                stock.fold(record.entry)
        after = records[-1].offset
    return stock


def _taken_in(workspace: Workspace) -> int:
    try:
        return int(artifacts.load(workspace.models, POLICY).meta["journal_offset"])
    except NoArtifact:
        return 0
