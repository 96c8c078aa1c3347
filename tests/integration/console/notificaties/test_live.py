"""Notificaties that are followed live: server-sent events, how many, and how they end."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from console import streaming
from ledger.opening import ledger_of
from schemas.user import Role
from tests.integration.console.conftest import Browser, Served
from tests.integration.console.notificaties.night import HOSTILE, Night, an_entry, delivered


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, str]]:
    """(name, data) of each."""
    name, data = "", ""
    async for line in response.content:
        text = line.decode().rstrip("\r\n")
        if text.startswith("event: "):
            name = text[7:]
        elif text.startswith("data: "):
            data += text[6:] + "\n"
        elif not text and (name or data):
            yield name, data
            name, data = "", ""


async def test_what_comes_is_told_and_what_becomes_of_it(
    served: Served, lezer: Browser, night: Night
) -> None:
    address = f"{served.root}notificaties/?kanaal=live&als=stroom"
    async with ledger_of(served.settings) as ledger, lezer.session.get(address) as response:
        assert response.content_type == "text/event-stream"
        entry = an_entry(night.zac, ago=0, kanaal="live", client=HOSTILE)
        await ledger.write([entry, an_entry(ago=0, kanaal="another")])
        told = events(response)
        name, row = await anext(told)
        assert name == "row"
        assert f'id="n-{entry.id}"' in row
        assert "1 in de wachtrij" in row
        assert "<script>" not in row
        await ledger.write([delivered(entry, night.zac.uuid)])
        name, row = await anext(told)
        assert f'id="n-{entry.id}"' in row
        assert "1 afgeleverd" in row


async def test_streams_are_bounded_and_end_with_the_session(
    served: Served, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "MOST_OF_ONE", 1)
    monkeypatch.setattr(streaming, "PING", 0.1)
    address = f"{served.root}notificaties/?als=stroom"
    async with served.browser(Role.ADMIN) as browser, browser.session.get(address) as first:
        async with browser.session.get(address) as second:
            assert [name async for name, _ in events(second)] == ["full"]
        await served.registry.users.end_sessions(Role.ADMIN.value)
        told = [name async for name, _ in events(first)]
        assert told[-1] == "over"
