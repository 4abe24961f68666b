import pytest

from honeyguide.data.database import database


def test_ctrl_c_during_a_query_is_an_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt), database():
        raise RuntimeError("Query interrupted")  # what DuckDB raises, whose timing a test cannot choose


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="broken"), database():
        raise RuntimeError("broken")
