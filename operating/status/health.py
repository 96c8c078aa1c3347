"""Whether gateway, RabbitMQ, router and registry can do their work: each is asked for a few seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import orjson

from router import names
from schemas.errors import BrokerUnavailable, NrcError

if TYPE_CHECKING:
    from aio_pika.abc import AbstractConnection

HEALTH_TIMEOUT = 5.0  # seconds for each part


class Health(IntEnum):
    """How a part is; the number is the exit code of `nrc health`."""

    OK = 0
    NOT_READY = 1
    """It answers, and says that it is not ready."""
    NOT_REACHABLE = 3


@dataclass(frozen=True, slots=True)
class Part:
    """The health of one part.

    said: where it is, or what is wrong. warnings: what must not stay so, though it is ready.
    """

    name: str
    health: Health
    said: str
    warnings: Sequence[str] = ()

    @property
    def detail(self) -> str:
        """All of that on one line."""
        return "; ".join([self.said, *self.warnings])

    def facts(self) -> dict[str, object]:
        """The same for scripts."""
        return {"ok": self.health is Health.OK, "detail": self.detail}


class NotReady(NrcError):
    """A part answers, and says that it is not ready."""


async def part(name: str, ask: Callable[[], Awaitable[Sequence[str]]]) -> Part:
    """One part, by what asking it gives (where it is, then its warnings) or raises."""
    try:
        async with asyncio.timeout(HEALTH_TIMEOUT):
            said, *warnings = await ask()
            return Part(name, Health.OK, said, warnings)
    except NotReady as error:
        return Part(name, Health.NOT_READY, str(error))
    except TimeoutError:
        return Part(name, Health.NOT_REACHABLE, f"no answer within {HEALTH_TIMEOUT:g} s")
    except (NrcError, OSError, HTTPException, ValueError) as error:
        return Part(name, Health.NOT_REACHABLE, str(error).strip() or type(error).__name__)


async def of_process(root: str) -> Sequence[str]:
    """That of the process that answers at this root. Raises NrcError, OSError, HTTPException, ValueError."""
    status, body = await asyncio.to_thread(_get, f"{root}/health/ready")
    ready = status == 200
    try:
        lines = orjson.loads(body)["warnings" if ready else "notReady"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        lines = []
    said = map(str, lines)
    if ready:
        return [root, *said]
    raise NotReady("; ".join(said) or f"{root}/health/ready answered {status}")


def _get(url: str) -> tuple[int, bytes]:
    """The status and the body; each step takes HEALTH_TIMEOUT at most.

    With the standard library: to load aiohttp took a fifth of this command's time. Raises OSError,
    HTTPException, and ValueError for what is no URL.
    """
    to = urlsplit(url)
    if to.scheme not in ("http", "https") or not to.hostname:
        raise ValueError(f"{url} is no http or https URL")
    kind = HTTPSConnection if to.scheme == "https" else HTTPConnection
    connection = kind(to.hostname, to.port, timeout=HEALTH_TIMEOUT)
    try:
        connection.request("GET", to.path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


async def check_broker(connection: AbstractConnection, *, advice: str) -> None:
    """Return when RabbitMQ is well. advice: on a policy that empties queues. Raises NotReady."""
    from aiormq.exceptions import ChannelNotFoundEntity

    from router.declaring.watching import canary
    from router.readiness import topology_stands

    try:
        async with asyncio.timeout(HEALTH_TIMEOUT / 2):
            await topology_stands(connection)
    except TimeoutError:
        raise NotReady("the router has not declared the exchanges and queues yet") from None
    with suppress(ChannelNotFoundEntity):  # a router of an older version is at work
        if lost := (await canary.look(connection)).lost:
            raise NotReady(f"a policy empties queues: {names.CANARY}: {lost}. {advice}")


async def routers_at_work(connection: AbstractConnection) -> int:
    """How many routers run. Raises BrokerUnavailable when none does."""
    from router.queue_depth import depth_of

    depth = await depth_of(connection, names.REQUESTS)
    if depth is None or not depth.consumers:
        raise BrokerUnavailable("no router runs on this broker")
    return depth.consumers
