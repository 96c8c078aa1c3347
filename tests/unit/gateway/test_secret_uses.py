"""How often a gateway notes the use of a secret (gateway/secret_uses.py)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from aiohttp.test_utils import make_mocked_request

from gateway.secret_uses import EVERY, LONGEST_AGENT, SecretUses
from gateway.tokens import Credentials
from schemas.application import Application
from schemas.errors import RegistryError
from store.secret_uses import UsedSecret

NOW = 4e9  # later than the clock of this machine, by which what is over is forgotten


class Registry:
    """Takes uses, or does not."""

    def __init__(self) -> None:
        self.away = False
        self.noted: list[UsedSecret] = []

    async def note_secret_uses(self, uses: Iterable[UsedSecret]) -> None:
        if self.away:
            raise RegistryError("locked")
        self.noted += uses


def client(client_id: str, secret: str) -> Credentials:
    return Credentials(Application(client_id, secret), frozenset(), 9e9, secret)


def used(uses: SecretUses, client_id: str, secret: str, *, now: float, agent: str = "a") -> None:
    request = make_mocked_request("GET", "/", headers={"User-Agent": agent})
    uses.used(client(client_id, secret), request, now=now)


async def test_a_secret_is_noted_once_a_minute_and_each_of_them() -> None:
    registry = Registry()
    uses = SecretUses(cast(Any, registry))
    for now in (NOW, NOW + 1, NOW + EVERY - 1):
        used(uses, "zac", "new", now=now)
        used(uses, "zac", "old", now=now)
        used(uses, "drc", "new", now=now)
        assert await uses.write()
    assert [(each.client_id, each.secret, each.use.at) for each in registry.noted] == [
        ("zac", "new", NOW),
        ("zac", "old", NOW),
        ("drc", "new", NOW),
    ]
    used(uses, "zac", "old", now=NOW + EVERY)
    assert await uses.write()
    assert registry.noted[-1].use.at == NOW + EVERY


async def test_what_the_registry_did_not_take_is_written_later() -> None:
    registry = Registry()
    registry.away = True
    uses = SecretUses(cast(Any, registry))
    used(uses, "zac", "new", now=NOW)
    assert not await uses.write()
    used(uses, "drc", "new", now=NOW)
    registry.away = False
    assert await uses.write()
    assert {each.client_id for each in registry.noted} == {"zac", "drc"}


async def test_an_agent_is_kept_short_and_printable() -> None:
    registry = Registry()
    uses = SecretUses(cast(Any, registry))
    used(uses, "zac", "new", now=NOW, agent="agent/1 \x9b" + "x" * 10_000)
    await uses.write()
    (noted,) = registry.noted
    assert noted.use.agent.isprintable()
    assert noted.use.agent.startswith("agent/1 x")
    assert len(noted.use.agent) < LONGEST_AGENT
    assert "new" not in repr(noted)
