"""Real data beside the repository: for development only, so a test that needs it is skipped where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent.parent / "shared" / "data"


def real_files(*names: str) -> list[Path]:
    """These files of the folder of real data; skips the test where one is not there."""
    files = [FOLDER / name for name in names]
    for file in files:
        if not file.is_file():
            pytest.skip(f"{file} is not there: real data are kept outside the repository")
    return files
