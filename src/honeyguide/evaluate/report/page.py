"""The whole page: sections in order, style and script inside, nothing fetched from anywhere."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from honeyguide.artifacts import write_atomically
from honeyguide.evaluate.report.check import check_report
from honeyguide.evaluate.report.cleaning import cleaning_section
from honeyguide.evaluate.report.closing import limits_section
from honeyguide.evaluate.report.decisions import decisions_section
from honeyguide.evaluate.report.headline import headline
from honeyguide.evaluate.report.heads import heads_section
from honeyguide.evaluate.report.html import Markup, element, join
from honeyguide.evaluate.report.interests import beliefs_section, map_section
from honeyguide.evaluate.report.language import language_section, taught_section
from honeyguide.evaluate.report.policies import levels_section, policies_section
from honeyguide.evaluate.report.prior import prior_section
from honeyguide.evaluate.report.sequence import sequence_section
from honeyguide.evaluate.results import ReplayReport

_CONTENTS = (
    ("policies", "Policies"),
    ("levels", "Exploration"),
    ("map", "Interest map"),
    ("beliefs", "One household"),
    ("decisions", "Decisions"),
    ("cleaning", "Cleaning"),
    ("sequence", "What comes next"),
    ("kinds", "Kinds of users"),
    ("heads", "Chances"),
    ("language", "Language model"),
    ("taught", "Tasks"),
    ("limits", "Limits and words"),
)


def write_report(report: ReplayReport, path: Path) -> None:
    """Write the page to `path` at once, making its folder; InvalidInput leaves an older page as it was."""
    page = render_report(report).encode("utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page)


def render_report(report: ReplayReport) -> str:
    """One self-contained HTML page; InvalidInput where a number is not finite or a record does not fit."""
    check_report(report)
    style, script = _asset("report.css"), _asset("report.js")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
        element("title", f"{report.shop}: replay report"),
        element("style", style),
    )
    links = [element("a", title, href=f"#{anchor}") for anchor, title in _CONTENTS]
    body = element(
        "body",
        headline(report),
        element("nav", *links, aria_label="Contents"),
        element("main", *_sections(report)),
        element("script", script),
    )
    return join([Markup("<!DOCTYPE html>\n"), element("html", head, body, lang="en"), "\n"])


def _sections(report: ReplayReport) -> list[Markup]:
    return [
        policies_section(report),
        levels_section(report),
        map_section(report),
        beliefs_section(report),
        decisions_section(report),
        cleaning_section(report),
        sequence_section(report),
        prior_section(report),
        heads_section(report),
        language_section(report),
        taught_section(report.tasks),
        limits_section(report),
    ]


def _asset(name: str) -> Markup:
    return Markup((files("honeyguide.evaluate.report") / name).read_text(encoding="utf-8"))


def _policy(style: str, script: str) -> str:
    """Only this very style and this very script may run, and nothing may be fetched: a browser holds us to it."""
    sources = {"style-src": style, "script-src": script}
    allowed = "; ".join(
        f"{kind} 'sha256-{b64encode(sha256(source.encode()).digest()).decode()}'"
        for kind, source in sources.items()
    )
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"
