"""What a hint of the router tells, and that one of another version tells nothing wrong."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import orjson
import pytest

from router.changes import Hint
from tests.make import an_abonnement


def test_a_hint_tells_which_abonnementen_the_router_has_yet_to_declare() -> None:
    one, listed, newer = (
        replace(an_abonnement(("zaken", {})), kanalen_change=change) for change in (7, 7, 8)
    )
    hint = Hint.read(orjson.dumps({"change": 7, "undeclared": [str(listed.uuid)]}))
    assert [hint.is_undeclared(each) for each in (one, listed, newer)] == [False, True, True]


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b'{"change": 7}', b'{"change": "x", "undeclared": []}', b'{"undeclared": [7]}'],
)
def test_a_hint_of_another_version_tells_nothing(body: bytes) -> None:
    hint = Hint.read(body)
    assert not hint.is_undeclared(replace(an_abonnement(("zaken", {})), uuid=uuid4(), kanalen_change=9))
