"""What is kept of each kanaal's last: for how long, and how much. No broker."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from gateway import latest
from gateway.latest import INSTANT, KEPT, MOST, Accepted, Latest, Published
from schemas.errors import MessageTooLarge
from schemas.kanaal import Kanaal
from schemas.notificatie import Notificatie
from tests.eventually import eventually
from tests.make import a_kanaal

LARGE = MOST // 8  # bytes


class Publisher:
    """Notes what is published."""

    def __init__(self) -> None:
        self.published: list[str] = []
        self.limit = 2 * MOST

    async def publish(self, message: Any) -> None:
        if (size := len(message.body)) > self.limit:
            raise MessageTooLarge(size, self.limit)
        self.published.append(message.message_id)


class Stage:
    """A Latest, and the kanalen that it knows of."""

    def __init__(self, *kanalen: Kanaal) -> None:
        self.kanalen = {kanaal.naam: kanaal for kanaal in kanalen}
        self.publisher = Publisher()
        self.listeners: list[Any] = []
        catalogue: Any = SimpleNamespace(kanalen=self.kanalen, subscribe=self.listeners.append)
        publisher: Any = self.publisher
        self.latest = Latest(publisher, catalogue)

    def note(
        self,
        kanaal: Kanaal,
        id_: str = "",
        *,
        ago: float = 0.0,
        size: int = 10,
        kenmerken: Mapping[str, str] | None = None,
    ) -> None:
        notificatie = Notificatie(kanaal.naam, "zaak", "create", dict(kenmerken or {}), bytes(size))
        accepted = Accepted(notificatie, id_, datetime.now(UTC))
        self.latest.note(kanaal, Published(accepted, monotonic() - ago))

    async def again(self, kanaal: Kanaal, *expected: str) -> None:
        """What goes out once more when this kanaal gets another exchange."""
        self.kanalen[kanaal.naam] = replace(kanaal, generation=kanaal.generation + 1)
        self.listeners[0](None)
        running = asyncio.create_task(self.latest.run())
        await eventually(lambda: self._done(expected))
        running.cancel()

    async def _done(self, expected: tuple[str, ...]) -> bool:
        await asyncio.sleep(0.01)
        return tuple(self.publisher.published) == expected


async def test_the_last_of_an_instant_goes_out_again() -> None:
    stage = Stage(kanaal := a_kanaal("zaken"))
    stage.note(kanaal, "old", ago=3 * INSTANT)
    stage.note(kanaal, "last but one", ago=INSTANT / 2)
    stage.note(kanaal, "last")
    await stage.again(kanaal, "last but one", "last")
    assert stage.latest.size == 0


async def test_nothing_is_kept_of_a_kanaal_that_gets_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latest, "LOOK", 0.01)
    stage = Stage(kanaal := a_kanaal("zaken"))
    stage.note(kanaal, ago=KEPT - 0.1)
    assert stage.latest.size
    running = asyncio.create_task(stage.latest.run())

    await eventually(lambda: stage.latest.size == 0)
    running.cancel()
    assert not stage.latest._lasts


async def test_of_many_kanalen_the_newest_are_kept() -> None:
    kanalen = [a_kanaal(f"k{number}") for number in range(30)]
    stage = Stage(*kanalen)
    for kanaal in kanalen:
        stage.note(kanaal, kanaal.naam, size=LARGE)
        assert stage.latest.size <= MOST
    stage.note(kanalen[-5], "another")
    await stage.again(kanalen[0])
    await stage.again(kanalen[-5], "k25", "another")
    for kanaal in kanalen:
        stage.note(kanaal, ago=-KEPT - 1)
    assert stage.latest.size < LARGE, "the counting comes out even"


async def test_of_one_kanaal_the_newest_are_kept() -> None:
    stage = Stage(kanaal := a_kanaal("zaken"))
    for number in range(20):
        stage.note(kanaal, str(number), size=LARGE)
    assert MOST - 2 * LARGE < stage.latest.size <= MOST
    stage.note(kanaal, "last", size=2 * MOST)
    await stage.again(kanaal, "last")


async def test_what_is_larger_than_rabbitmq_takes_now_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(latest, "LATER", 0.05)
    stage = Stage(kanaal := a_kanaal("zaken"))
    stage.publisher.limit = 1000
    stage.note(kanaal, "large", size=1001)
    stage.note(kanaal, "small")
    with structlog.testing.capture_logs() as lines:
        await stage.again(kanaal, "small")
        await asyncio.sleep(0)
    assert [line["notificatie"] for line in lines if line["log_level"] == "error"] == ["large"]
    stage.publisher.limit = 2000
    running = asyncio.create_task(stage.latest.run())
    await eventually(lambda: stage.publisher.published == ["small", "large"])
    running.cancel()


def test_kenmerken_count_as_what_they_take() -> None:
    stage = Stage(kanaal := a_kanaal("zaken"))
    stage.note(kanaal, kenmerken={f"{number}": "" for number in range(10_000)})
    assert stage.latest.size > 1_000_000
