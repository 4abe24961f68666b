"""The stage of a fit that learns which interest comes next."""

from __future__ import annotations

from dataclasses import asdict

from honeyguide import artifacts
from honeyguide.artifacts import key_of
from honeyguide.config import Settings
from honeyguide.data.table import EventTable
from honeyguide.fit.sequence import part, sequences_of
from honeyguide.interests.forecast import learn_forecast
from honeyguide.interests.sequence.model import SequenceModel
from honeyguide.interests.taxonomy import Taxonomy
from honeyguide.interests.transitions import Transitions
from honeyguide.shop.releases import FORECAST, SEQUENCE, TAXONOMY
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Stage


def forecast_stage(
    workspace: Workspace,
    settings: Settings,
    taxonomy: Taxonomy,
    model: SequenceModel | None,
    table: EventTable,
    stage: Stage,
) -> str | None:
    """The version of the forecast; None where there is no sequence model to make one with.

    It is fitted on the events that the sequence model did not learn from.
    """
    if model is None:
        return None
    made_of = [artifacts.current(workspace.models, name) for name in (SEQUENCE, TAXONOMY)]
    key = key_of("forecast", *made_of, table.version, settings.seed)
    if known := artifacts.load_if_made_from(workspace.models, FORECAST, key):
        return known.version
    with stage("Learn which interest comes next"):
        parted = part(sequences_of(table, len(taxonomy.leaf)), settings)
        transitions = Transitions.of(parted.known, taxonomy.leaf, len(taxonomy))
        forecast, quality = learn_forecast(
            model, transitions, taxonomy.leaf, parted.asked, parted.targets, seed=settings.seed
        )
    judged = None if quality is None else asdict(quality)
    return artifacts.save(workspace.models, FORECAST, forecast.state(), {"key": key, "quality": judged})
