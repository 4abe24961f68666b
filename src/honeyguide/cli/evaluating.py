"""`evaluate` and `report` share this: replay, then sum up."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import active_children
from types import FrameType

from honeyguide.cli.show import Stages
from honeyguide.data.clean import load_cleaning
from honeyguide.data.table import load_events
from honeyguide.evaluate.compare import load_traffic, replay_policies
from honeyguide.evaluate.heads import judge_heads
from honeyguide.evaluate.language import read_language_model, read_tasks
from honeyguide.evaluate.prior import read_prior
from honeyguide.evaluate.results import ReplayReport
from honeyguide.evaluate.sequence import read_sequence
from honeyguide.evaluate.summary import summarise
from honeyguide.shop.models import load_fitted
from honeyguide.shop.policies import make_policy, serving
from honeyguide.shop.workspace import Workspace


def evaluate_shop(
    workspace: Workspace, names: Sequence[str] | None, *, workers: int | None, stages: Stages
) -> ReplayReport:
    """Replay the named policies (the settings' where none is named), always beside exploit-only and the served."""
    settings = workspace.settings
    levels = tuple(f"thompson-{level:g}" for level in settings.evaluate.fixed_levels)
    wanted = tuple(
        dict.fromkeys(
            (serving(settings.explore), "greedy", *(names or (*settings.evaluate.policies, *levels)))
        )
    )
    _check_names(workspace, wanted)
    with stages.stage("Replay the policies") as progress, _workers_end_with_us():
        runs, served = replay_policies(workspace, wanted, workers=workers, progress=progress)
    fitted = load_fitted(workspace.models, workspace.items)
    with stages.stage("Judge the chances of clicks and purchases") as progress:
        heads = judge_heads(fitted, settings, load_events(workspace.events, fitted.catalog), progress)
    with stages.stage("Sum up with confidence bands"):
        traffic = load_traffic(workspace, fitted)
        cleaning = load_cleaning(workspace.data)
        language = read_language_model(workspace.models) if settings.adapt.steps else None
        tasks = read_tasks(workspace.models, settings.teach.tasks)
        sequence = read_sequence(workspace.models) if fitted.sequence else None
        return summarise(
            runs,
            served,
            traffic,
            fitted,
            cleaning,
            settings,
            stages.seconds,
            language,
            tasks,
            sequence,
            read_prior(workspace.models),
            heads,
        )


def _check_names(workspace: Workspace, names: Sequence[str]) -> None:
    """Refuse a policy nobody knows before the others are replayed."""
    state = load_fitted(workspace.models, workspace.items).policy_state
    for name in names:
        make_policy(name, state, workspace.settings.explore, seed=workspace.settings.seed)


@contextmanager
def _workers_end_with_us() -> Iterator[None]:
    """An interrupt ends the worker processes too: a pool would wait until each has replayed its policy."""

    def stop(number: int, frame: FrameType | None) -> None:
        for worker in active_children():
            worker.terminate()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
