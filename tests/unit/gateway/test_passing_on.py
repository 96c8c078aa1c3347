"""X-Batch-Id and X-Correlation-Id of a publisher: which values are passed on, and what is bulk."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from gateway.api.passing_on import passed_on_of
from ledger.values import PassedOn
from runtime.settings import Settings


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"X-Other": "1"}, None),
        ({"x-batch-id": " nacht-1 "}, PassedOn("nacht-1", "", lane=True)),
        ({"X-Correlation-Id": "c" * 128}, PassedOn("", "c" * 128)),
        ({"X-Batch-Id": "b", "X-Correlation-Id": "é"}, PassedOn("b", "", lane=True)),
        ({"X-Batch-Id": "b" * 129}, None),
        ({"X-Batch-Id": ""}, None),
        ({"X-Correlation-Id": "a\tb"}, None),
    ],
)
def test_what_is_passed_on(headers: dict[str, str], expected: PassedOn | None) -> None:
    request = make_mocked_request("POST", "/", headers=headers)
    assert passed_on_of(request, Settings()) == expected
    assert passed_on_of(request, Settings(pass_on_ids=False)) is None
    if expected is not None:
        as_the_rest = passed_on_of(request, Settings(bulk_lane=False))
        assert as_the_rest == PassedOn(expected.batch, expected.correlation)
