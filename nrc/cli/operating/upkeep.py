"""`nrc reconcile` and `nrc health`: whether all is as it should be, and making it so."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

import click
import orjson

from nrc.cli.connecting import carry_out, gateway_root, local_root, opened_link, opened_registry
from nrc.cli.terminal.output import Column, as_json, json_option, table
from nrc.exits import Exit
from nrc.rabbitmq.shield_policy import SET_POLICY
from router import names
from runtime.settings import Settings, load_settings
from schemas.errors import BrokerUnavailable, NrcError

HEALTH_TIMEOUT = 5.0  # seconds for each part


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@json_option
def reconcile(dry_run: bool, json_: bool) -> None:
    """Compare RabbitMQ with the registry, and repair it. The router does so by itself too."""
    lines = carry_out(_reconcile(load_settings(), dry_run=dry_run))
    if json_:
        as_json({"dryRun": dry_run, "lines": lines})
        return
    for line in lines or ["nothing to do"]:
        click.echo(line)


async def _reconcile(settings: Settings, *, dry_run: bool) -> list[str]:
    from router.requests import RouterClient

    async with opened_link(settings) as link:
        return await RouterClient(link).reconcile(dry_run=dry_run)


@dataclass(frozen=True, slots=True)
class _Part:
    """The health of one part. exit: OK, FAILED (it answers, but is not ready), or NOT_REACHABLE."""

    name: str
    exit: Exit
    said: str


@click.command()
@click.option(
    "--url", metavar="URL", help="Ask only the process that answers here, for a health check of it."
)
@json_option
def health(url: str | None, json_: bool) -> None:
    """Say whether gateway, broker, router and registry are ready.

    Exit code 0: all are. 1: one answers, but is not ready. 3: one cannot be reached.
    """
    settings = load_settings()
    if url:
        parts = [carry_out(_part("process", lambda: _process(gateway_root(settings, url))))]
    else:
        parts = carry_out(_health(settings, local_root(settings)))
    if json_:
        as_json({part.name: {"ok": part.exit is Exit.OK, "detail": part.said} for part in parts})
    else:
        table(
            [Column("PART"), Column("STATE"), Column("DETAIL", least=20, folds=True)],
            ([part.name, "ok" if part.exit is Exit.OK else "not ok", part.said] for part in parts),
            empty="",
        )
    sys.exit(max(part.exit for part in parts))


async def _health(settings: Settings, root: str) -> list[_Part]:
    return list(
        await asyncio.gather(
            _part("gateway", lambda: _process(root)),
            _part("broker", lambda: _broker(settings)),
            _part("router", lambda: _router(settings)),
            _part("registry", lambda: _registry(settings)),
        )
    )


class _NotReady(NrcError):
    """A part answers, and says that it can't do its work."""


async def _part(name: str, ask: Callable[[], Awaitable[str]]) -> _Part:
    try:
        async with asyncio.timeout(HEALTH_TIMEOUT):
            return _Part(name, Exit.OK, await ask())
    except _NotReady as error:
        return _Part(name, Exit.FAILED, str(error))
    except TimeoutError:
        return _Part(name, Exit.NOT_REACHABLE, f"no answer within {HEALTH_TIMEOUT:g} s")
    except (NrcError, OSError, HTTPException, ValueError) as error:
        return _Part(name, Exit.NOT_REACHABLE, str(error).strip() or type(error).__name__)


async def _process(root: str) -> str:
    status, body = await asyncio.to_thread(_get, f"{root}/health/ready")
    ready = status == 200
    try:
        lines = orjson.loads(body)["warnings" if ready else "notReady"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        lines = []
    said = map(str, lines)
    if ready:
        return "; ".join([root, *said])
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


async def _broker(settings: Settings) -> str:
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
    return "connected"


async def _router(settings: Settings) -> str:
    from router.queue_depth import depth_of

    async with opened_link(settings) as link:
        assert link.connection is not None  # noqa: S101 - opened
        depth = await depth_of(link.connection, names.REQUESTS)
    if depth is None or not depth.consumers:
        raise BrokerUnavailable("no router runs on this broker")
    return f"{depth.consumers} running"


async def _registry(settings: Settings) -> str:
    async with opened_registry(settings) as opened:
        return f"{settings.registry_file}, change {opened.catalogue.number}"
