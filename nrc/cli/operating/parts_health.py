"""Whether gateway, RabbitMQ, router and registry can do their work, for `nrc health` and `nrc status`."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

import orjson

from nrc.cli.connecting import opened_link, opened_registry
from nrc.exits import Exit
from nrc.rabbitmq.shield_policy import SET_POLICY
from router import names
from runtime.settings import Settings
from schemas.errors import BrokerUnavailable, NrcError

HEALTH_TIMEOUT = 5.0  # seconds for each part


@dataclass(frozen=True, slots=True)
class Part:
    """The health of one part. exit: OK, FAILED (it answers, but is not ready), or NOT_REACHABLE.

    said: where it is, or what is wrong. warnings: what must not stay so, though it is ready.
    """

    name: str
    exit: Exit
    said: str
    warnings: Sequence[str] = ()

    @property
    def detail(self) -> str:
        """All of that on one line."""
        return "; ".join([self.said, *self.warnings])

    def facts(self) -> dict[str, object]:
        """The same for scripts."""
        return {"ok": self.exit is Exit.OK, "detail": self.detail}


async def parts_of(settings: Settings, root: str) -> list[Part]:
    """The health of gateway, broker, router and registry, each asked at once. root: that of the gateway."""
    return list(
        await asyncio.gather(
            part("gateway", lambda: of_process(root)),
            part("broker", lambda: _broker(settings)),
            part("router", lambda: _router(settings)),
            part("registry", lambda: _registry(settings)),
        )
    )


class _NotReady(NrcError):
    """A part answers, and says that it is not ready."""


async def part(name: str, ask: Callable[[], Awaitable[Sequence[str]]]) -> Part:
    """One part, by what asking it gives (where it is, then its warnings) or raises."""
    try:
        async with asyncio.timeout(HEALTH_TIMEOUT):
            said, *warnings = await ask()
            return Part(name, Exit.OK, said, warnings)
    except _NotReady as error:
        return Part(name, Exit.FAILED, str(error))
    except TimeoutError:
        return Part(name, Exit.NOT_REACHABLE, f"no answer within {HEALTH_TIMEOUT:g} s")
    except (NrcError, OSError, HTTPException, ValueError) as error:
        return Part(name, Exit.NOT_REACHABLE, str(error).strip() or type(error).__name__)


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
    raise _NotReady("; ".join(said) or f"{root}/health/ready answered {status}")


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


async def _broker(settings: Settings) -> Sequence[str]:
    from aiormq.exceptions import ChannelNotFoundEntity

    from router.declaring.watching import canary
    from router.readiness import topology_stands

    async with opened_link(settings) as link:
        assert link.connection is not None  # noqa: S101 - opened
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT / 2):
                await topology_stands(link.connection)
        except TimeoutError:
            raise _NotReady("the router has not declared the exchanges and queues yet") from None
        with suppress(ChannelNotFoundEntity):  # a router of an older version is at work
            if lost := (await canary.look(link.connection)).lost:
                raise _NotReady(
                    f"a policy empties queues: {names.CANARY}: {lost}. "
                    f"Run: {shlex.join(['rabbitmqctl', *SET_POLICY])}"
                )
    return ["connected"]


async def _router(settings: Settings) -> Sequence[str]:
    from router.queue_depth import depth_of

    async with opened_link(settings) as link:
        assert link.connection is not None  # noqa: S101 - opened
        depth = await depth_of(link.connection, names.REQUESTS)
    if depth is None or not depth.consumers:
        raise BrokerUnavailable("no router runs on this broker")
    return [f"{depth.consumers} running"]


async def _registry(settings: Settings) -> Sequence[str]:
    async with opened_registry(settings) as opened:
        return [f"{settings.registry_file}, change {opened.catalogue.number}"]
