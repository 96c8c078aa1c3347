"""What a hint of the router tells, and that one of another version tells nothing wrong."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from router.changes import Hint
from tests.make import an_abonnement


def test_a_hint_tells_which_abonnementen_the_router_has_yet_to_declare() -> None:
    one, listed, newer = (
        replace(an_abonnement(("zaken", {})), kanalen_change=change) for change in (7, 7, 8)
    )
    hint = Hint.read(orjson.dumps({"change": 7, "undeclared": [str(listed.uuid)]}))
    assert hint is not None
    assert [hint.is_undeclared(each) for each in (one, listed, newer)] == [False, True, True]


def test_a_hint_of_an_older_router_tells_nothing() -> None:
    hint = Hint.read(b'{"change": 7}')
    assert hint is not None
    assert not hint.is_undeclared(replace(an_abonnement(("zaken", {})), kanalen_change=9))


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"{}", b'{"applicaties": {}}', b'{"change": "x", "undeclared": []}',
     b'{"change": 7, "undeclared": [7]}', b'{"change": 7, "undeclared": ["7"]}'],
)  # fmt: skip
def test_another_message_is_no_hint(body: bytes) -> None:
    assert Hint.read(body) is None
