"""The one thread that holds the shop: requests wait in a bounded queue, and what waits together is written together.

A group of requests is drafted one by one, then all their entries go into the journal in one append, then all are
answered. So a disk that takes 4 ms to make something durable does not hold the service to 250 requests a second.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Condition, Thread
from typing import TypeAlias

from msgspec import Struct

from honeyguide.errors import HoneyguideError, InvalidInput, JournalAway, JournalChanged, JournalFull
from honeyguide.journal.protocol import Entry
from honeyguide.serve.beside import Beside
from honeyguide.serve.door import Pace, busy
from honeyguide.serve.endpoint import Draft, Endpoint
from honeyguide.serve.renewal import Renewal
from honeyguide.serve.saving import Saving
from honeyguide.serve.tracing import Marks
from honeyguide.shop.honeyguide import Honeyguide
from honeyguide.shop.opened import unwatched

_log = logging.getLogger("honeyguide.serve")
_DAY_S = 86_400.0

Outcome: TypeAlias = "tuple[Struct | None, tuple[Entry, ...]] | Exception"
"""An answer and what was recorded for it, or why there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One request that waits for its turn."""

    endpoint: Endpoint
    asked: Struct
    answered: asyncio.Future[tuple[Struct | None, tuple[Entry, ...]]]
    marks: Marks | None = None


class Worker:
    """Serves requests on one thread; `group` are written down together.

    `most` may wait, and no more than are expected to be answered in `most_s` seconds.
    Every `look_s` seconds it learns from what other processes wrote; every `save_s`, or after much, it stores what it
    learned.
    Where the shop was fitted anew, or the journal cannot be read on, a shop of `renewal` takes over. So does one that
    has dropped what is old, soon after the start and every day, where the settings say for how long it is kept.
    """

    def __init__(
        self,
        shop: Honeyguide,
        *,
        most: int = 128,
        most_s: float = 0.075,
        group: int = 32,
        look_s: float = 0.5,
        save_s: float = 300.0,
        renewal: Renewal | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.behind = self.unrecorded = 0
        self.looked: Callable[[], None] = lambda: None  # called at every look
        self.trouble: str | None = None
        self._recording = True
        self.shop = shop
        self.beside = Beside(lambda: self.shop)
        self._renewal = renewal
        self._most, self._group = most, group
        self._pace = Pace(most_s)
        self._in_hand = 0
        self._look_s = look_s
        self._clock = clock
        self._looked = clock() - look_s
        self._saving = Saving(save_s, clock())
        self._forgot: float | None = None
        self._changed = False
        self._waiting: deque[Job] = deque()
        self._change = Condition()
        self._stopping = False
        self._thread = Thread(target=self._run, name="honeyguide-shop", daemon=True)

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether one more would have to wait behind too many, or for too long."""
        waiting = len(self._waiting)
        return waiting >= self._most or self._pace.full(waiting + self._in_hand)

    @property
    def alive(self) -> bool:
        """Whether requests are served."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Serve what waits, and end."""
        with self._change:
            self._stopping = True
            self._change.notify()
        self._thread.join()
        self.beside.stop()
        if self._renewal is not None and (opened := self._renewal.take(wait=True)):
            opened.journal.close()

    async def submit(
        self, endpoint: Endpoint, asked: Struct, marks: Marks | None = None
    ) -> tuple[Struct | None, tuple[Entry, ...]]:
        """The answer, and what was recorded for it; Refusal where too many wait already."""
        if endpoint.aside:
            return (await asyncio.to_thread(endpoint.work, self.shop, asked)).answer, ()
        job = Job(endpoint, asked, asyncio.get_running_loop().create_future(), marks)
        with self._change:
            if self._stopping or self.full:
                raise busy()
            self._waiting.append(job)
            self._change.notify()
        return await job.answered

    def _run(self) -> None:
        self._look_around()  # a service that dies again and again is not to learn ever more at each start
        while True:
            with self._change:
                if not self._waiting and not self._stopping:
                    self._change.wait(self._look_s)
                if self._stopping and not self._waiting:
                    return
                group = self._take()
                self._in_hand = len(group)
            if group:
                begun = self._clock()
                drafts = [self._drafted(job) for job in group]
                drafted = self._clock()
                self._answer(group, drafts)
                if not group[0].endpoint.alone:
                    self._pace.served(len(group), self._clock() - begun, drafted - begun)
            self._look_around()
            self._renew()

    def _take(self) -> list[Job]:
        """The next requests that may be written down together: none twice of one key, and who is alone alone."""
        group: list[Job] = []
        keys: set[str] = set()
        most = self._pace.together(self._group)
        while self._waiting and len(group) < most:
            job = self._waiting[0]
            key = job.endpoint.key(job.asked)
            if group and (job.endpoint.alone or key in keys):
                break
            group.append(self._waiting.popleft())
            if job.endpoint.alone:
                break
            keys |= set() if key is None else {key}
        return group

    def _answer(self, group: list[Job], drafts: list[Draft | Exception]) -> None:
        """Write down together what was drafted, and answer all."""
        together = [entry for draft in drafts if isinstance(draft, Draft) for entry in draft.entries]
        outcomes: list[Outcome]
        try:
            if together:
                with _each([job.marks for job in group], "journal append"):
                    self._record(together)
                self._recording = True
            outcomes = [one if isinstance(one, Exception) else (one.answer, one.entries) for one in drafts]
        except JournalAway as error:  # none can be recorded, and to find that out takes its time
            outcomes = [one if isinstance(one, Exception) else self._without(one, error) for one in drafts]
        except Exception:  # one of them cannot be recorded: the others are not to suffer for it
            outcomes = [one if isinstance(one, Exception) else self._by_itself(one) for one in drafts]
        self.beside.catch_up()
        if any(job.endpoint.alone for job in group):  # who was erased is known to no canary
            self.beside.drop()
        for loop in {job.answered.get_loop() for job in group}:
            mine = [
                (job, out)
                for job, out in zip(group, outcomes, strict=True)
                if job.answered.get_loop() is loop
            ]
            loop.call_soon_threadsafe(_deliver, mine)

    def _record(self, entries: Sequence[Entry]) -> None:
        """Write them down. What another process erased or dropped is no reason to refuse anybody."""
        try:
            self.shop.record(entries)
        except JournalChanged:  # they are written down; the shop that takes over learns from them
            if self._renewal is None:
                raise
            self._changed = True

    def _drafted(self, job: Job) -> Draft | Exception:
        if job.marks is not None:
            job.marks.parts.append(("wait", job.marks.start_ns, job.marks.clock_ns()))
        try:
            return self.beside.draft(lambda shop: _work(shop, job), job.asked, alone=job.endpoint.alone)
        except Exception as error:
            return error
        finally:
            self._in_hand -= 1

    def _by_itself(self, draft: Draft) -> Outcome:
        try:
            if draft.entries:
                self._record(draft.entries)
            return draft.answer, draft.entries
        except InvalidInput as error:
            if draft.otherwise is None:
                return error
            try:
                return draft.otherwise(), ()
            except Exception as second:
                return second
        except (JournalFull, JournalAway) as error:
            return self._without(draft, error)
        except Exception as error:
            return error

    def _without(self, draft: Draft, error: JournalFull | JournalAway) -> Outcome:
        """What is answered where the journal cannot be written."""
        if not draft.entries:
            return draft.answer, ()
        if draft.unrecorded is None:
            return error
        if self._recording:
            _log.error("pages are not recorded", extra={"facts": {"error": type(error).__name__}})
        self._recording = False
        self.unrecorded += 1
        if isinstance(error, JournalAway):  # others are to be asked until it is seen to be back
            self.trouble = type(error).__name__
        return draft.unrecorded(), ()

    def _look_around(self) -> None:
        now = self._clock()
        if now - self._looked < self._look_s:
            return
        self._looked = now
        self.looked()
        try:
            self.behind = self.shop.catch_up()
            if self._saving.due(self.shop.unsaved, now):
                self.shop.save()
                self._saving.done(now, self._clock())
            self.trouble = None
            outdated = self._changed or self.shop.outdated
        except JournalChanged as error:
            self.trouble = type(error).__name__ if self._renewal is None else None
            outdated = True
        except HoneyguideError as error:  # the journal is out of reach: say so, and look again
            outdated = self._in_trouble(error)
        self.beside.look(now)
        if self._renewal is None:
            return
        keep_days = self.shop.settings.journal.keep_days
        if outdated:
            self._renewal.begin(now)
        elif keep_days and (self._forgot is None or now - self._forgot >= _DAY_S):
            if self._renewal.begin(now, keep=timedelta(days=keep_days)):
                self._forgot = now

    def _in_trouble(self, error: HoneyguideError) -> bool:
        """Say so, once; whether opening the shop anew may help."""
        if self.trouble is None:
            _log.error("the shop is in trouble", extra={"facts": {"error": type(error).__name__}})
        # a full disk keeps only what was learned from being stored: pages go on
        self.trouble = None if isinstance(error, JournalFull) else type(error).__name__
        return not isinstance(error, JournalFull | JournalAway)

    def _renew(self) -> None:
        """Let a shop take over that was opened meanwhile: it knows all that the journal holds."""
        if self._renewal is None or (opened := self._renewal.take()) is None:
            return
        try:
            opened.catch_up()
        except HoneyguideError:  # somebody was erased while it was opened: the next look opens it once more
            opened.journal.close()
            return
        self._changed = False
        self.beside.drop()
        old, self.shop = self.shop, opened
        old.journal.close()  # what it learned is not stored: it is of the fit before
        _log.info("renewed", extra={"facts": {"model_version": opened.fitted.version}})


def _work(shop: Honeyguide, job: Job) -> Draft:
    if job.marks is None:
        return job.endpoint.work(shop, job.asked)
    shop.watch = job.marks.part
    try:
        return job.endpoint.work(shop, job.asked)
    finally:
        shop.watch = unwatched


@contextmanager
def _each(group: Sequence[Marks | None], name: str) -> Iterator[None]:
    """What is done inside is a part of each request."""
    with ExitStack() as stack:
        for marks in group:
            if marks is not None:
                stack.enter_context(marks.part(name))
        yield


def _deliver(served: list[tuple[Job, Outcome]]) -> None:
    for job, outcome in served:
        if job.answered.done():  # nobody waits any more
            continue
        if isinstance(outcome, Exception):
            job.answered.set_exception(outcome)
        else:
            job.answered.set_result(outcome)
