"""What one gateway tells the others of applicaties that changed, and what it takes from them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.autorisaties import notices as module
from gateway.autorisaties.notices import MOST, Notices
from schemas.errors import BrokerUnavailable
from tests.eventually import eventually

URL = "https://ac.example.nl/autorisaties/api/v1/applicaties/"


class Rights:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bool] | str] = []

    def changed(self, name: str, *, gone: bool) -> None:
        self.told.append((name, gone))

    def missed(self) -> None:
        self.told.append("missed")


class Link:
    """Takes what is sent, unless RabbitMQ is away."""

    def __init__(self) -> None:
        self.blocked = False
        self.away = False
        self.tries = 0
        self.sent: list[bytes] = []

    async def use(self, work: Any) -> None:
        self.tries += 1
        if self.away:
            raise BrokerUnavailable("away")
        self.sent.append(work.keywords["body"])


@pytest.fixture
def rights() -> Rights:
    return Rights()


@pytest.fixture
def link() -> Link:
    return Link()


@pytest.fixture
def notices(rights: Rights, link: Link, monkeypatch: pytest.MonkeyPatch) -> Notices:
    monkeypatch.setattr(module, "SEND_AGAIN", 0.01)
    given: Any = (rights, link)
    return Notices(*given)


@asynccontextmanager
async def telling(notices: Notices) -> AsyncIterator[None]:
    task = asyncio.create_task(notices.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_one_takes_another_hears_once(notices: Notices, link: Link, rights: Rights) -> None:
    for actie in ("create", "update", "destroy"):
        notices.take(URL + actie, actie)
    expected = [("create", False), ("update", False), ("destroy", True)]
    assert rights.told == expected
    async with telling(notices):
        await eventually(lambda: link.sent, within=60)
    others, theirs = Rights(), Link()
    given: Any = (others, theirs)
    other = Notices(*given)
    (body,) = link.sent
    for each in (other, notices):
        each.heard(body)
    assert others.told == rights.told == expected, "and the one that told it does nothing more"


async def test_what_could_not_be_told_is_told_later(notices: Notices, link: Link) -> None:
    link.away = True
    async with telling(notices):
        notices.take(URL + "a", "update")
        await eventually(lambda: link.tries, within=60)
        link.blocked, link.away = True, False
        notices.take(URL + "b", "update")
        notices.take(URL + "a", "destroy")
        assert link.sent == []
        link.blocked = False
        await eventually(lambda: link.sent, within=60)
    told: dict[str, bool] = {}
    for body in link.sent:
        told |= json.loads(body)["applicaties"]
    assert told == {"a": True, "b": False}


async def test_of_very_many_it_is_told_that_all_changed(notices: Notices, link: Link) -> None:
    for number in range(MOST + 1):
        notices.take(f"{URL}{number}", "update")
    async with telling(notices):
        await eventually(lambda: link.sent, within=60)
    (body,) = link.sent
    assert len(json.loads(body)["applicaties"]) == MOST
    others = Rights()
    given: Any = (others, Link())
    Notices(*given).heard(body)
    assert others.told[0] == "missed"


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"[]", b"null", b'{"change": 7}', b'{"applicaties": []}', b'{"applicaties": null}']
)
def test_other_hints_are_ignored(notices: Notices, rights: Rights, body: bytes) -> None:
    notices.heard(body)
    assert rights.told == []


def test_after_a_connection_was_made_all_is_asked_for_again(notices: Notices, rights: Rights) -> None:
    notices.connected()
    assert rights.told == ["missed"]
