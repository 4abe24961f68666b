"""New fits take over one after the other under 80 % of what the service can do: no request fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import DEVNULL
from threading import Event as Flag

import httpx
import numpy as np
import pytest

from honeyguide.shop import releases
from tests.fitted import copy_of, fitted_anew, fitted_shop
from tests.serve_process import serving
from tests.soak import rounds

CLIENTS = 4
LOAD = 0.8


def _ask(url: str, seed: int, done: Flag, every_s: float) -> list[tuple[int, float]]:
    """Status and seconds of page after page and of what came of each, begun `every_s` apart, or at once."""
    seen: list[tuple[int, float]] = []
    due = time.monotonic()
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:

        def post(path: str, body: dict[str, object]) -> httpx.Response:
            start = time.monotonic()
            answer = client.post(path, json=body)
            seen.append((answer.status_code, time.monotonic() - start))
            return answer

        while not done.is_set():
            page = post("/v1/decide", {"user_id": f"user-{seed}-{len(seen) % 50}", "k": 2}).json()
            told = {"decision_id": page["decision_id"], "item_id": page["items"][0]["item_id"]}
            post("/v1/feedback", told | {"kind": "click"})
            due += every_s
            done.wait(max(0.0, due - time.monotonic()))
    return seen


def _asked(url: str, meanwhile: Callable[[], object], every_s: float = 0.0) -> list[tuple[int, float]]:
    """What all clients saw while `meanwhile` went on."""
    done = Flag()
    with ThreadPoolExecutor(CLIENTS) as pool:
        asked = [pool.submit(_ask, url, seed, done, every_s) for seed in range(CLIENTS)]
        try:
            meanwhile()
        finally:
            done.set()
        return [one for client in asked for one in client.result()]


def _swap(folder: Path, client: httpx.Client, swaps: int) -> None:
    """Fit anew, and wait until that serves, so many times."""
    for turn in range(swaps):
        release = fitted_anew(folder, turn)
        releases.activate(folder / "models", release.number)
        start = time.monotonic()
        while client.get("/v1/models").json()["model_version"] != release.model_version:
            assert time.monotonic() - start < 60
            time.sleep(0.1)


@pytest.mark.slow
def test_no_request_fails_while_new_fits_take_over_under_load(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    folder, swaps = copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path), rounds(2, 100)
    with serving(folder, stderr=DEVNULL) as (_, client):
        url, measured_s = str(client.base_url), rounds(1.0, 10.0)
        most = len(_asked(url, lambda: time.sleep(measured_s))) / measured_s
        seen = _asked(url, lambda: _swap(folder, client, swaps), every_s=2 * CLIENTS / (LOAD * most))
    seconds = np.array([one for _, one in seen])
    assert {status for status, _ in seen} == {200}
    record_property("swaps", swaps)
    record_property("requests", f"{len(seen)}, 0 failed, at {LOAD:.0%} of {most:.0f} a second")
    record_property(
        "milliseconds, p50 and p99", np.round(1000 * np.quantile(seconds, (0.5, 0.99)), 1).tolist()
    )
