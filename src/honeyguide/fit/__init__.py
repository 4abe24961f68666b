"""From a shop's tables to what serves it; the only room besides `cli` that reaches what trains."""

from honeyguide.fit.run import FitReport, fit

__all__ = ["FitReport", "fit"]
