"""How long the tests of faults run: a shortened set by default, the full numbers under `make soak`.

What such a test saw it tells `record_property`; the figures are printed at the end of the run, and stand in
docs/reliability.md.
"""

from __future__ import annotations

import os
from typing import TypeVar

N = TypeVar("N", int, float)

SOAK = os.environ.get("HONEYGUIDE_SOAK") == "1"


def rounds(short: N, full: N) -> N:
    """How many (or how long): `full` under `make soak`, else `short`."""
    return full if SOAK else short
