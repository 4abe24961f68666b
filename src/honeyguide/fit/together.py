"""A fit by several processes, as torchrun starts them: the first does it, and the others help it to learn.

Only what is learned from texts is shared out. The helpers wait until the tables are clean, take their part in every
training, and leave when there is nothing more to train.
"""

from __future__ import annotations

import os
from datetime import datetime

from honeyguide.data.catalog import Catalog
from honeyguide.data.table import load_events
from honeyguide.fit.language import Reading, learning_stages
from honeyguide.shop.workspace import Workspace
from honeyguide.types import quietly


def is_helper() -> bool:
    """Whether this process is not the first of its job."""
    return int(os.environ.get("RANK", "0")) > 0


def meet_helpers(workspace: Workspace) -> None:
    """The tables are clean: whoever helps may read them."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from honeyguide.plm.train.devices import meet

        meet(workspace.settings.training.device)


def help_fit(workspace: Workspace, *, until: datetime | None = None) -> None:
    """Help the first process, which runs `fit` on the same workspace with the same `until`."""
    meet_helpers(workspace)
    catalog = Catalog.read(workspace.items)
    table = load_events(workspace.events, catalog, until=until)
    learning_stages(Reading(workspace, catalog, table, until, quietly))
