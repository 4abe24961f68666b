"""From a shop's tables to what serves it; the only room besides `cli` that reaches what trains."""

from honeyguide.fit.run import FitReport, fit
from honeyguide.fit.together import help_fit, is_helper

__all__ = ["FitReport", "fit", "help_fit", "is_helper"]
