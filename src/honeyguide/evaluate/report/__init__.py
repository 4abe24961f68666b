"""The replay report: one HTML file that needs nothing but a browser."""

from __future__ import annotations

from honeyguide.evaluate.report.page import render_report, write_report

__all__ = ["render_report", "write_report"]
