"""The script in the page tells what happened once, and nothing to whom the visitor did not agree to."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from honeyguide.config import Serve, load_settings
from honeyguide.errors import InvalidSettings
from honeyguide.shop.workspace import settings_toml
from tests.fitted import copy_of, fitted_shop
from tests.serve_fixture import Served, served
from tests.shop_fixture import NOW

SCRIPT = Path(__file__).parent.parent / "src" / "honeyguide" / "serve" / "browser" / "honeyguide.js"
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed: it runs the script")


def _page(does: str) -> dict[str, Any]:
    """What came of a page that does this."""
    assert NODE is not None
    stub = Path(__file__).parent / "browser_stub.js"
    run = subprocess.run(
        [NODE, str(stub), str(SCRIPT)], input=does, capture_output=True, text=True, timeout=30
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)


@pytest.fixture
def it(folder: Path) -> Iterator[Served]:
    with served(folder) as running:
        yield running


@needs_node
@pytest.mark.parametrize(
    "before",
    [
        "world.load();",
        "world.window.navigator.doNotTrack = '1'; world.load(); world.honeyguide.consent(true);",
        "world.window.navigator.globalPrivacyControl = true; world.load(); world.honeyguide.consent(true);",
        "world.load(); world.honeyguide.consent(true); world.honeyguide.view('a'); world.honeyguide.consent(false);",
    ],
)
def test_without_the_visitors_yes_nothing_is_sent_and_no_id_is_kept(before: str) -> None:
    found = _page(
        before
        + "const told = [world.honeyguide.view('sku-1'), world.honeyguide.search('x'), world.honeyguide.userId()];"
        "await world.later(); world.fire('pagehide'); await world.settle(); return told;"
    )
    assert found["told"] == [False, False, None]
    assert (found["requests"], found["beacons"]) == ([], [])
    assert "honeyguide.id" not in found["kept"]


@needs_node
def test_what_happened_on_a_page_goes_in_one_batch_and_counts_once() -> None:
    found = _page("""
        world.load(); const hg = world.honeyguide; hg.consent(true);
        const page = { decisionId: "page-1", position: 2 };
        const told = [hg.impression("sku-1", page), hg.click("sku-1", page), hg.click("sku-1", page),
                      hg.view("sku-1"), hg.view("sku-1"), hg.search("honey"), hg.userId()];
        await world.later(); return told;
    """)
    *told, user = found["told"]
    assert told == [True, True, False, True, True, True]
    (request,) = found["requests"]
    assert (request["url"], request["method"], request["keepalive"]) == (
        "https://hg.example/v1/collect",
        "POST",
        True,
    )
    assert request["headers"]["authorization"] == "Bearer hg_key"
    events = request["body"]["events"]
    assert [event["kind"] for event in events] == ["impression", "click", "view", "view", "search"]
    assert events[1]["event_id"] == "page-1:sku-1:click"
    assert len({event["event_id"] for event in events}) == 5
    assert {event["user_id"] for event in events} == {user} == {found["kept"]["honeyguide.id"]}
    assert re.fullmatch(r"anon-[0-9a-f]{32}", user)


@needs_node
def test_what_was_lost_is_sent_again_with_the_same_ids_after_ever_longer() -> None:
    found = _page("""
        world.answer(0, 503, 429, 422); world.load(); world.honeyguide.consent(true); world.honeyguide.view("sku-1");
        const waits = [];
        for (let i = 0; i < 6; i++) { waits.push(...world.waits()); await world.later(); }
        return waits;
    """)
    assert found["told"] == [2000, 4000, 8000, 16000]  # what is refused is not sent again
    bodies = [request["body"] for request in found["requests"]]
    assert len(bodies) == 4
    assert all(body == bodies[0] for body in bodies)


@needs_node
@pytest.mark.parametrize("key", ["null", "'hg_key'"])
def test_what_waits_goes_along_when_the_page_goes_away(key: str) -> None:
    found = _page(f"""
        world.key = {key}; world.load(); world.honeyguide.consent(true); world.honeyguide.view("sku-1");
        world.document.visibilityState = "hidden"; world.fire("visibilitychange"); world.fire("pagehide");
        await world.settle(); await world.later(); return null;
    """)
    # a beacon can carry no key
    assert (len(found["beacons"]), len(found["requests"])) == ((1, 0) if key == "null" else (0, 1))
    for beacon in found["beacons"]:
        assert beacon["type"] == "application/json"
        assert json.loads(beacon["text"])["events"][0]["item_id"] == "sku-1"


@needs_node
def test_what_is_marked_is_told_by_itself_and_storage_that_is_forbidden_harms_nothing() -> None:
    found = _page("""
        world.noStorage = true; world.load(); const hg = world.honeyguide; hg.consent(true);
        const [a, b] = world.document.elements = [world.element("a", "page", "1"), world.element("b")];
        hg.observe(); const both = world.watched.length;
        world.see([{ isIntersecting: true, target: a }, { isIntersecting: false, target: b }]);
        world.fire("click", { target: b }); await world.later(); return [both, world.watched.length];
    """)
    assert found["told"] == [2, 1]
    seen, clicked = found["requests"][0]["body"]["events"]
    assert (seen["kind"], seen["item_id"], seen["decision_id"], seen["position"]) == (
        "impression",
        "a",
        "page",
        1,
    )
    assert (clicked["kind"], clicked["item_id"]) == ("click", "b")
    assert "decision_id" not in clicked
    assert seen["user_id"] == clicked["user_id"]


@needs_node
def test_what_the_script_sends_is_what_the_service_reads(it: Served) -> None:
    page = it.decide("visitor", k=2)
    item = page["items"][0]["item_id"]
    found = _page(f"""
        world.load(); const hg = world.honeyguide; hg.consent(true); hg.configure({{ userId: "visitor" }});
        const page = {{ decisionId: {json.dumps(page["decision_id"])}, position: 1 }};
        for (const kind of ["impression", "view", "click", "cart", "dismiss"]) hg[kind]({json.dumps(item)}, page);
        hg.search("honey"); await world.later(); return null;
    """)
    for _ in range(2):
        answer = it.client.post("/v1/collect", json=found["requests"][0]["body"])
        assert (answer.status_code, answer.json()["recorded"]) == (200, 6)
        found["requests"][0]["body"]["events"].reverse()
    assert it.shop.journal.counts().events == 6


def test_a_browser_may_tell_no_purchase_and_sets_no_clock(it: Served) -> None:
    told = {"user_id": "u", "item_id": "sku-1", "time": (NOW + timedelta(days=400)).isoformat()}
    kinds = ("view", "purchase", "rating")
    events = [{**told, "event_id": kind, "kind": kind} for kind in kinds]
    answer = it.client.post(
        "/v1/collect", json={"events": [*events, {**events[0], "event_id": "v", "value": 3}]}
    )
    assert [one["recorded"] for one in answer.json()["events"]] == [True, False, False, False]
    (record,) = it.shop.journal.read()
    assert record.entry.time == NOW


@pytest.mark.parametrize("name", ["honeyguide.js", "honeyguide.d.ts"])
def test_the_files_are_served_and_kept_until_they_change(it: Served, name: str) -> None:
    answer = it.client.get(f"/{name}")
    assert answer.text == (SCRIPT.parent / name).read_text()
    assert answer.headers["cache-control"] == "public, max-age=3600"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    again = it.client.get(f"/{name}", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_types_name_what_the_script_has() -> None:
    api = SCRIPT.read_text().split("var api = {")[1].split("\n  };")[0]
    has = set(re.findall(r"^    (\w+):", api, re.MULTILINE))
    types = (SCRIPT.parent / "honeyguide.d.ts").read_text()
    body = types.split("export interface Honeyguide {")[1].split("\n}")[0]
    assert set(re.findall(r"^  (\w+)\(", body, re.MULTILINE)) == has


def test_only_pages_of_named_sites_may_ask(folder: Path) -> None:
    asked = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }

    def allowed(it: Served, origin: str) -> str | None:
        answer = it.client.options("/v1/collect", headers={"origin": origin, **asked})
        found: str | None = answer.headers.get("access-control-allow-origin")
        return found

    with served(folder) as it:
        assert allowed(it, "https://shop.example") is None
    path = folder / "honeyguide.toml"
    settings = replace(load_settings(path), serve=Serve(origins=("https://shop.example",)))
    path.write_text(settings_toml(settings))
    with served(folder) as it:
        assert allowed(it, "https://shop.example") == "https://shop.example"
        assert allowed(it, "https://evil.example") is None
        answer = it.client.post(
            "/v1/collect", json={"events": []}, headers={"origin": "https://shop.example"}
        )
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"


@pytest.mark.parametrize("origin", ["*", "shop.example", "https://shop.example/", "https://a b", "null", ""])
def test_an_origin_that_names_no_site_is_refused(origin: str) -> None:
    with pytest.raises(InvalidSettings, match="an origin is https://HOST"):
        Serve(origins=(origin,))
