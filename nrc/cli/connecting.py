"""Opens the registry, the ledger and RabbitMQ for a command, and reaches running processes.

The modules for that are loaded when a command needs them, and not for its help.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nrc.cli.terminal.output import note
from schemas.errors import BrokerError, BrokerUnavailable, UsageError

if TYPE_CHECKING:
    from ledger.ledger import Ledger
    from router.catalogue import Catalogue
    from router.requests import RouterClient
    from runtime.amqp import Link
    from runtime.settings import Settings
    from schemas.abonnement import Abonnement
    from store.registry import Registry

T = TypeVar("T")


def carry_out(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work to its end, with no log lines but those of errors."""
    import uvloop

    from runtime.log import configure_logging

    configure_logging(form="console", level="error", process="nrc")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


new_option = click.option("--new", is_flag=True, help="Make the registry when there is none yet.")


@dataclass(frozen=True, slots=True)
class OpenRegistry:
    """The registry, and what was in it when the command began."""

    registry: Registry
    catalogue: Catalogue

    def abonnement(self, typed: str) -> Abonnement:
        """The one that is typed, whole or in part. Raises as `ids.abonnement`."""
        from nrc.cli.terminal import ids

        known = self.catalogue.everyone
        return known[ids.abonnement(typed, known)]


@asynccontextmanager
async def opened_registry(settings: Settings, *, new: bool | None = None) -> AsyncIterator[OpenRegistry]:
    """The registry of these settings. Raises RegistryError, and UsageError where there is none.

    new: of a command that has the option --new: whether it was given, so that a registry may be made.
    """
    from router.catalogue import Catalogue
    from store.opening import registry_is_there, registry_of, registry_place

    there = registry_is_there(settings)
    if not new:
        there_is_a_registry(settings, may_make=new is not None)
    async with registry_of(settings) as registry:
        catalogue = Catalogue(registry, refresh_interval=settings.refresh_interval)
        await catalogue.refresh()
        place = registry_place(settings)
        if not there:
            note(f"made a new registry: {place}")
        elif catalogue.number == 0:
            # It may be that of another system than the one that is meant.
            note(f"this registry is empty: {place}")
        yield OpenRegistry(registry, catalogue)


@asynccontextmanager
async def opened_ledger(settings: Settings) -> AsyncIterator[Ledger]:
    """The ledger of these settings. Raises LedgerError, and UsageError where there is none."""
    from ledger.opening import ledger_is_there, ledger_of, ledger_place

    if not ledger_is_there(settings):
        raise UsageError(
            f"there is no ledger {ledger_place(settings)} yet: the first gateway that starts makes it"
        )
    async with ledger_of(settings) as ledger:
        yield ledger


def there_is_a_registry(settings: Settings, *, may_make: bool = False) -> None:
    """Return when there is one. Raises UsageError, so that a command in a wrong folder makes nothing.

    may_make: the command has the option --new.
    """
    from store.opening import registry_is_there, registry_place

    if registry_is_there(settings):
        return
    raise UsageError(
        f"there is no registry {registry_place(settings)}: run this in the folder of the system that "
        "is meant, or with its NRC_STATE_DIR; "
        f"`nrc up` makes one{', and so does --new here' if may_make else ''}"
    )


def refuse_postgresql(settings: Settings, *, otherwise: str) -> None:
    """Return when registry and ledger are files. Raises UsageError that says what to do otherwise."""
    if settings.on_postgresql:
        raise UsageError(f"this is for SQLite files, and NRC_DATABASE_URL names PostgreSQL: {otherwise}")


def broker_urls(settings: Settings) -> tuple[str, ...]:
    """NRC_AMQP_URL, or else the private broker of a running `nrc up`. Raises BrokerUnavailable."""
    if settings.amqp_url:
        return settings.amqp_url
    from nrc.rabbitmq.private_broker import find_running

    url = find_running(settings.state_dir)
    if url is None:
        raise BrokerUnavailable(
            "no RabbitMQ: NRC_AMQP_URL is not set, and no `nrc up` runs with "
            f"NRC_STATE_DIR={settings.state_dir.absolute()}"
        )
    return (url,)


@asynccontextmanager
async def opened_link(settings: Settings) -> AsyncIterator[Link]:
    """A connection to the first broker that answers. Raises BrokerUnavailable."""
    from runtime.amqp import Link, connect_to_first

    urls = broker_urls(settings)
    link = Link(urls, name="command")
    link.connection = await connect_to_first(urls, name="command")
    try:
        yield link
    finally:
        await link.connection.close()


async def tell_processes(settings: Settings, ask: Callable[[RouterClient], Awaitable[None]]) -> None:
    """Tell running processes of a write to the registry; it is done, also when they cannot be told."""
    from router.requests import RouterClient

    try:
        async with opened_link(settings) as link:
            await ask(RouterClient(link))
    except BrokerError as error:
        note(
            "saved; processes that run will notice within NRC_REFRESH_INTERVAL "
            f"({settings.refresh_interval:g} s), since they could not be told: {error}"
        )


def gateway_root(settings: Settings, url: str | None = None) -> str:
    """The root URL of the gateway: the one given, else NRC_PUBLIC_URL, else from NRC_GATEWAY_LISTEN."""
    root = url or settings.public_url or local_root(settings)
    return root.rstrip("/").removesuffix("/api/v1")


def local_root(settings: Settings) -> str:
    """The root URL of the gateway on this machine: from NRC_GATEWAY_LISTEN, else that of `nrc up`."""
    from nrc.state_lock import running_gateway
    from runtime.listening import reached_at
    from runtime.settings import origins

    if origins()["gateway_listen"] == "default" and (root := running_gateway(settings.state_dir)):
        return root
    return str(reached_at(settings.gateway_listen)).rstrip("/")
