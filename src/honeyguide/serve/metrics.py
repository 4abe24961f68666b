"""What Prometheus is told: requests and their times, decisions, rewards, how much is explored, and the queue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector

from honeyguide.journal.protocol import Entry, ItemChange
from honeyguide.serve.worker import Worker
from honeyguide.types import Decision

MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_LEVELS = (0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1)


class Metrics:
    """The figures of one service; no label holds anything that a caller chose.

    Where several processes answer at one port they keep their figures in the folder `shared`, and each tells the sum
    of all, those of processes that ended included. Prometheus' client wants that folder in PROMETHEUS_MULTIPROC_DIR,
    too, before it is loaded.
    """

    def __init__(self, worker: Worker, *, shared: Path | None = None) -> None:
        self._worker = worker
        self._shared = shared
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "honeyguide_requests", "Requests.", ["endpoint", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "honeyguide_request_seconds",
            "Seconds from a request's arrival to its answer.",
            ["endpoint"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._turned_away = Counter(
            "honeyguide_turned_away",
            "Requests told to come again before they were read.",
            registry=self._registry,
        )
        self._decisions = Counter("honeyguide_decisions", "Pages written down.", registry=self._registry)
        self._events = Counter(
            "honeyguide_events",
            "Events written down, feedback among them.",
            ["kind"],
            registry=self._registry,
        )
        self._rewards = Counter(
            "honeyguide_rewards", "Feedback on pages by kind.", ["kind"], registry=self._registry
        )
        self._items = Counter(
            "honeyguide_item_changes", "Items put and deleted.", ["change"], registry=self._registry
        )
        self._levels = Histogram(
            "honeyguide_exploration_level",
            "How much of the posterior's width pages acted on.",
            buckets=_LEVELS,
            registry=self._registry,
        )
        self._waiting = Gauge(
            "honeyguide_waiting_requests",
            "Requests in the queue.",
            multiprocess_mode="livesum",
            registry=self._registry,
        )
        self._behind = Gauge(
            "honeyguide_learner_lag",
            "Journal entries not yet learned from.",
            multiprocess_mode="livemax",
            registry=self._registry,
        )
        self._canary_share, self._canary_users, self._canary_difference = (
            Gauge(name, said, multiprocess_mode="livemax", registry=self._registry)
            for name, said in (
                ("honeyguide_canary_share", "The share of the users whom a canary serves."),
                ("honeyguide_canary_judged_users", "Users by whom the canary is judged."),
                (
                    "honeyguide_canary_reward_difference",
                    "What the canary earns more a user, as far as it is known.",
                ),
            )
        )
        self._unrecorded = Gauge(
            "honeyguide_unrecorded_decisions",
            "Pages answered while the journal could not be written.",
            multiprocess_mode="livesum",
            registry=self._registry,
        )
        worker.looked = self.look

    def look(self) -> None:
        """Take down how long the queue is, how far the learner is behind, and how a canary does."""
        self._waiting.set(self._worker.waiting)
        self._behind.set(self._worker.behind)
        self._unrecorded.set(self._worker.unrecorded)
        found = self._worker.beside.finding
        self._canary_share.set(self._worker.beside.share)
        self._canary_users.set(found.users)
        self._canary_difference.set(0.0 if found.difference is None else found.difference.mean)

    def request(self, endpoint: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(endpoint, str(status)).inc()
        self._seconds.labels(endpoint).observe(seconds)

    def turned_away(self) -> None:
        """Count one request that was told to come again before it was read."""
        self._turned_away.inc()

    def recorded(self, entries: Sequence[Entry]) -> None:
        """Count what was written down for a request."""
        for entry in entries:
            if isinstance(entry, Decision):
                self._decisions.inc()
                self._levels.observe(entry.plan.level)
                continue
            if isinstance(entry, ItemChange):
                self._items.labels("delete" if entry.item is None else "put").inc()
                continue
            self._events.labels(entry.kind).inc()
            if entry.decision_id is not None:
                self._rewards.labels(entry.kind).inc()

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        self.look()
        if self._shared is None:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self._shared))  # type: ignore[no-untyped-call]
        return generate_latest(registry)
