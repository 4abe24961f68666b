"""Nothing that the description of the API allows, and nothing that it just does not allow, breaks the service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis.openapi
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.fitted import copy_of, fitted_shop
from tests.serve_fixture import Served, served
from tests.soak import rounds

EXAMPLES = 5_000
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path_factory.mktemp("schemathesis"))
    with served(folder) as running:
        yield running


def test_no_request_that_can_be_made_of_the_description_breaks_it(
    it: Served, record_property: Callable[[str, object], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    described = schemathesis.openapi.from_dict(it.client.get("/openapi.json").json())
    operations = [found.ok() for found in described.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) == sum(map(len, it.client.get("/openapi.json").json()["paths"].values()))
    each, seen = rounds(6, -(-EXAMPLES // len(operations))), Counter[int]()
    for operation in operations:
        for mode in GenerationMode:
            with suppress(Unsatisfiable):  # where nothing is asked nothing can be asked wrongly
                _ask(operation.as_strategy(generation_mode=mode), each, it, seen)
    told = ", ".join(f"{status}: {count:,}" for status, count in sorted(seen.items()))
    record_property("requests", f"{seen.total():,} over {len(operations)} operations: {told}")
    assert seen.total() >= rounds(100, EXAMPLES)
    assert max(seen) < 500
    assert it.client.get("/readyz").status_code == 200


def _ask(cases: Any, many: int, it: Served, seen: Counter[int]) -> None:
    @settings(
        max_examples=many,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def ask(case: Any) -> None:
        answer = case.call(base_url=str(it.client.base_url))
        seen[answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS)

    ask()
