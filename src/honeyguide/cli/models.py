"""`honeyguide models`: which fit serves, and how it is taken back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from honeyguide.cli.options import AsJson, Now, Shop, moment

if TYPE_CHECKING:
    from honeyguide.shop.releases import Release

models = typer.Typer(help="List the fits that are kept, activate one, roll back.", no_args_is_help=True)


@models.command("list")
def list_(shop: Shop, json: AsJson = False) -> None:
    """List the releases that are kept, the newest first, and the last canary."""
    from dataclasses import asdict

    from honeyguide.cli.show import console, show, table
    from honeyguide.shop import canary as canaries
    from honeyguide.shop import releases

    folder = _models(shop)
    active, kept, last = releases.active_id(folder), releases.all_of(folder), canaries.read(folder)
    if json or not kept:
        told = {
            "releases": [_told(one, active) for one in kept],
            "canary": None if last is None else {**asdict(last), "since": last.since.isoformat()},
        }
        show(told, f"There is none yet. Run: honeyguide fit {shop}", as_json=json)
        return
    printed = table("release", "made", "model version", "")
    for one in kept:
        made = one.made.isoformat(" ", timespec="minutes")[:16]
        serves = "serves" if one.release_id == active else ""
        printed.add_row(str(one.number), made, one.model_version, serves)
    console.print(printed)
    if last is not None:
        said = f"was taken back: {last.taken_back}" if last.taken_back else "serves them"
        show({}, f"Canary: release {last.number} for {last.share:.0%} of the users; it {said}", as_json=False)


@models.command()
def activate(
    shop: Shop,
    release: Annotated[int, typer.Argument(help="Its number, as `honeyguide models list` has it.", min=1)],
    json: AsJson = False,
) -> None:
    """Let a release serve that is kept.

    Every file of it is checked first. A service that runs takes it over within seconds, between two requests.
    """
    from honeyguide.shop import releases

    _say(releases.activate(_models(shop), release), as_json=json)


@models.command()
def canary(
    shop: Shop,
    release: Annotated[int, typer.Argument(help="Its number, as `honeyguide models list` has it.", min=1)],
    share: Annotated[float, typer.Option(help="The share of the users that it serves.")] = 0.1,
    now: Now = None,
    json: AsJson = False,
) -> None:
    """Let a release serve a share of the users, beside the one that serves the others.

    It is taken back by itself where it surely earns less, or fails. Activate it to let it serve everybody; to end it,
    activate the one that serves.
    """
    from honeyguide.cli.show import show
    from honeyguide.shop import canary as canaries

    started = canaries.start(_models(shop), release, share, now=moment(now))
    text = f"Release {release} serves {share:.0%} of the users, until it is activated or taken back."
    show({"number": release, "share": share, "since": started.since.isoformat()}, text, as_json=json)


@models.command()
def rollback(shop: Shop, json: AsJson = False) -> None:
    """Let the release before the one that serves serve again.

    A service that runs takes it over within seconds, between two requests.
    """
    from honeyguide.shop import releases

    _say(releases.roll_back(_models(shop)), as_json=json)


def _say(release: Release, *, as_json: bool) -> None:
    from honeyguide.cli.show import show

    text = f"Release {release.number} ({release.model_version}) serves now."
    show(_told(release, release.release_id), text, as_json=as_json)


def _models(shop: Path) -> Path:
    from honeyguide.shop.workspace import Workspace

    return Workspace.at(shop).models


def _told(release: Release, active: str | None) -> dict[str, Any]:
    return {
        "number": release.number,
        "made": release.made.isoformat(timespec="seconds"),
        "model_version": release.model_version,
        "active": release.release_id == active,
        "parts": dict(release.parts),
    }
