"""The one training loop: several objectives at once, on a processor or on GPUs, that a kill cannot make forget.

Everything random in a step comes from the seed and the number of its batch, so a checkpoint needs no generators: a
job that is killed and started again ends at the weights of one that never stopped, to the bit on one machine.

A batch that does not fit into memory is passed over in halves, and so are all that follow: a step learns from the
same examples as before, with the gradient of their whole batch where the loss is a mean over them. Contrastive
objectives have half as many in-batch negatives then: what they learn is not the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from honeyguide.plm.track import NoTracker, Tracker
from honeyguide.plm.train.devices import Place
from honeyguide.plm.train.job import Evaluate, Job
from honeyguide.plm.train.schedule import Schedule
from honeyguide.plm.train.terms import Backward, Term, plain
from honeyguide.types import Progress, silent

AfterStep = Callable[[int], None]
"""Called after each step of the optimiser with how many there were, the gradients still in place."""
Heed = Callable[[Mapping[str, float]], None]
"""Called after each step of the optimiser with its figures: what is weighed by how it stands is told so."""


def nothing(step: int) -> None:
    """Leave it at what the optimiser did."""


def unheard(figures: Mapping[str, float]) -> None:
    """Weigh losses as ever."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: the step of the weights that were kept, and all figures that were logged, by step.

    `halvings` says how often batches were halved because memory was full.
    """

    steps: int
    best_step: int
    best: float | None
    history: tuple[tuple[int, Mapping[str, float]], ...] = field(repr=False)
    halvings: int = 0


def train(
    terms: Sequence[Term],
    schedule: Schedule,
    *,
    place: Place,
    folder: Path,
    key: str,
    evaluate: Evaluate | None = None,
    tracker: Tracker | None = None,
    backward: Backward = plain,
    after_step: AfterStep = nothing,
    heed: Heed = unheard,
    progress: Progress = silent,
    clock: Callable[[], float] = time.perf_counter,
) -> Outcome:
    """Train the modules of `terms` in place, on from the newest checkpoint of the job `key` in `folder`.

    With `evaluate` they end as they were when its first figure was lowest. An interrupt stores a checkpoint first.
    What `after_step` and `heed` remember between steps belongs into buffers of the modules: those are in the
    checkpoint. Only the tracker hears `tokens_per_second`, those of this process by `clock`, padding left out.
    InvalidInput where a loss or a gradient is not finite, or where not even single examples fit into memory.
    """
    job = Job(terms, schedule, place, folder, key, backward, clock)
    told = tracker if tracker is not None and place.leads else NoTracker()
    standing = job.resume()

    def look_and_tell() -> None:
        _, figures = standing.history[-1]
        if evaluate and _is_due(standing.step, schedule):
            figures |= job.look(evaluate, standing)
        standing.looked = standing.step
        told.log(standing.step, {**figures, "tokens_per_second": job.tokens_per_second})
        progress(standing.step, schedule.last)

    try:
        if standing.looked < standing.step:  # it was cut in the middle of a look
            look_and_tell()
        while standing.step < schedule.last and standing.worse < schedule.patience:
            figures = job.step(standing)
            standing.step += 1
            standing.history.append((standing.step, figures))
            after_step(standing.step)
            heed(figures)
            look_and_tell()
    except KeyboardInterrupt:
        job.store(standing)
        raise
    job.store(standing)
    job.put_best()
    progress(schedule.last, schedule.last)
    return Outcome(
        standing.step, standing.best_step, standing.best, tuple(standing.history), standing.halvings
    )


def _is_due(step: int, schedule: Schedule) -> bool:
    return step == schedule.last or bool(schedule.eval_every and step % schedule.eval_every == 0)
