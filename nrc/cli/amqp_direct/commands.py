"""`nrc amqp …`: consumers that read a queue of their own in RabbitMQ. `nrc abonnement remove` removes one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import click

from nrc.cli.connecting import OpenRegistry, broker_urls, carry_out, opened_link, opened_registry
from nrc.cli.listening.listen import filter_pair
from nrc.cli.operating import audit
from nrc.cli.terminal import ids, parameters
from nrc.cli.terminal.output import Column, as_json, json_option, note, table
from operating import abonnementen as operating
from router.amqp_direct.connecting import Connection, amqp_abonnement, connection_of, definitions, vhost_of
from router.amqp_direct.passwords import new_password
from router.amqp_direct.queues import AmqpQueue, QueueKind
from runtime.settings import Settings, load_settings
from schemas.abonnement import Abonnement, FilterGroup
from schemas.errors import BrokerError, BrokerUnavailable, Conflict, UsageError
from schemas.fields import parse

IMPORT = "nrc amqp definitions | rabbitmqctl import_definitions"
"""What makes the users in a RabbitMQ without an HTTP API. It reads standard input."""

uuid_argument = click.argument("uuid", type=ids.uuid)


@click.group()
def amqp() -> None:
    """Consumers that read a queue of their own in RabbitMQ, in place of a callback.

    NRC_AMQP_DIRECT switches this on. `nrc abonnement remove` removes one, with its queue and its user.
    """


@amqp.command("list")
@json_option
def list_(json_: bool) -> None:
    """List them: what waits in each queue, and who reads it."""
    settings = load_settings()
    found = carry_out(_looked_at(settings))
    if json_:
        as_json([facts for _, facts in found])
        return
    rows = [
        [
            ids.short(each.uuid),
            each.client_id,
            each.state,
            facts["kind"],
            "?" if facts["messages"] is None else facts["messages"],
            "?" if facts["consumers"] is None else facts["consumers"],
            facts["queue"],
        ]
        for each, facts in found
    ]
    columns = ("UUID", "APPLICATION", "STATE", "KIND", "MESSAGES", "READERS", "QUEUE")
    table([*map(Column, columns)], rows, empty="no consumers that read RabbitMQ")


@amqp.command()
@click.option(
    "--client", metavar="ID", type=parameters.client_id, required=True, help="The application that it is of."
)
@click.option(
    "--kanaal", "kanalen", metavar="NAAM", multiple=True, required=True, help="Of this; may be given again."
)
@click.option(
    *("--filter", "filters"),
    multiple=True,
    type=filter_pair,
    metavar="NAME=VALUE",
    help="Only with this kenmerk, on each of the kanalen; may be given again.",
)
@click.option(
    "--kind",
    type=click.Choice([each.value for each in QueueKind]),
    default="quorum",
    help="A quorum queue (default), or a stream.",
)
@click.option("--max-length", metavar="N", help="Messages that the queue holds; more waits with NRC.")
@click.option("--max-bytes", metavar="N", help="Bytes that it holds; of a stream the oldest go.")
@click.option(
    "--max-age", type=parameters.duration, metavar="TIME", help="How long a stream keeps what it has."
)
@json_option
def create(
    client: str,
    kanalen: Sequence[str],
    filters: Sequence[tuple[str, str]],
    json_: bool,
    **asked: Any,
) -> None:
    """Make one, with its queue and its user. The password is shown here, once."""
    of, faults = parse(AmqpQueue, {_camel(name): value for name, value in asked.items() if value is not None})
    if of is None:
        raise UsageError("; ".join(f"{each.name}: {each.reason}" for each in faults))
    password = new_password()
    groups = tuple(FilterGroup(naam, tuple(filters)) for naam in kanalen)
    new = amqp_abonnement(uuid4(), of=of, kanalen=groups, client_id=client, password=password)
    settings = load_settings()
    connection, ready = carry_out(_create(settings, new))
    _tell(connection, new.uuid, password=password, ready=ready, json_=json_)


@amqp.command()
@uuid_argument
@json_option
def show(uuid: str, json_: bool) -> None:
    """Show how one connects, and what is in its queue; not its password."""
    settings = load_settings()
    abonnement, facts = carry_out(_show(settings, uuid))
    if json_:
        as_json(facts)
        return
    click.echo(f"abonnement:  {abonnement.uuid} of {abonnement.client_id}, {abonnement.state}")
    _lines(facts)


@amqp.command()
@uuid_argument
@json_option
def password(uuid: str, json_: bool) -> None:
    """Give one another password, shown here, once. The former one is refused; open connections stay."""
    settings = load_settings()
    given = new_password()
    connection, ready, of = carry_out(_renew(settings, uuid, given))
    _tell(connection, of, password=given, ready=ready, json_=json_, renewed=True)


@amqp.command("definitions")
def definitions_() -> None:
    """Print all users and their rights for `rabbitmqctl import_definitions`, without a password.

    For a RabbitMQ without an HTTP API (NRC_RABBITMQ_MANAGEMENT_URL), after each `create` and `password`.
    """
    settings = load_settings()
    as_json(carry_out(_definitions(settings)))


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def _tell(
    connection: Connection, uuid: UUID, *, password: str, ready: bool, json_: bool, renewed: bool = False
) -> None:
    facts = {**connection.facts(), "password": password, "ready": ready}
    if json_:
        as_json({"uuid": str(uuid), **facts})
    else:
        click.echo(f"abonnement:  {uuid}")
        _lines(facts)
        note("the password is kept nowhere: note it now")
    if not ready:
        missing = "this password" if renewed else "the user"
        note(f"RabbitMQ does not have {missing} yet; on RabbitMQ's host run:\n  {IMPORT}\nor:")
        for line in commands_of(connection, password, renewed=renewed):
            note(f"  {line}")


def commands_of(connection: Connection, password: str, *, renewed: bool) -> list[str]:
    """What makes the user by hand, on RabbitMQ's host, or gives the one that is there this password."""
    from router.amqp_direct.connecting import rights_of

    if renewed:
        return [f"rabbitmqctl change_password {connection.user} '{password}'"]
    user, rights = connection.user, rights_of(connection.user)
    vhost = vhost_of(connection.url)
    texts = " ".join(f"'{rights[name]}'" for name in ("configure", "write", "read"))
    return [
        f"rabbitmqctl add_user {user} '{password}'",
        f"rabbitmqctl set_permissions -p '{vhost}' {user} {texts}",
    ]


def _lines(facts: Mapping[str, Any]) -> None:
    for name, value in facts.items():
        if value is not None and name != "ready":
            click.echo(f"{name + ':':<13}{value}")


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[OpenRegistry, Settings]]:
    """The registry, and the settings with the RabbitMQ of `nrc up` where none is named."""
    async with opened_registry(settings) as opened:
        try:
            urls = broker_urls(settings)
        except BrokerUnavailable:
            urls = ()
        yield opened, settings.model_copy(update={"amqp_url": urls})


def _must_be_on(settings: Settings) -> None:
    if not settings.amqp_direct:
        raise UsageError("NRC_AMQP_DIRECT is off: set it to true for every process, and here")


async def _create(settings: Settings, new: Abonnement) -> tuple[Connection, bool]:
    from router.requests import RouterClient

    _must_be_on(settings)
    async with _opened(settings) as (opened, known), opened_link(settings) as link:
        if new.client_id not in opened.catalogue.applications:
            raise UsageError(f"there is no application {new.client_id}; `nrc application list` shows them")
        for group in new.kanalen:
            if group.naam not in opened.catalogue.kanalen:
                raise UsageError(f"there is no kanaal {group.naam}; `nrc kanaal list` shows them")
        new = _fitting(new, opened, settings)
        log = audit.log_of(settings, registry=opened.registry)
        ready = await operating.add_amqp(opened.registry, log, new, router=RouterClient(link))
        return connection_of(new, known), ready


def _fitting(new: Abonnement, opened: OpenRegistry, settings: Settings) -> Abonnement:
    """The same, with its filters as the API writes them. Raises UsageError for what the API refuses."""
    from gateway.api.attribute_filters import marked
    from gateway.api.checks import group_faults

    kanalen = opened.catalogue.kanalen
    asked = [{"naam": group.naam, "filters": dict(group.filters)} for group in new.kanalen]
    if faults := group_faults({"kanalen": asked}, kanalen, settings):
        raise UsageError("; ".join(f"{each.name}: {each.reason}" for each in faults))
    groups = tuple(
        FilterGroup(
            each.naam,
            tuple(marked(dict(each.filters), kanalen[each.naam], settings.attribute_filters).items()),
        )
        for each in new.kanalen
    )
    return replace(new, kanalen=groups)


async def _renew(settings: Settings, typed: str, given: str) -> tuple[Connection, bool, UUID]:
    from router.requests import RouterClient

    _must_be_on(settings)
    async with _opened(settings) as (opened, known), opened_link(settings) as link:
        found = _known(opened, typed)
        log = audit.log_of(settings, registry=opened.registry)
        ready = await operating.renew_amqp_password(
            opened.registry, log, found, given, router=RouterClient(link)
        )
        return connection_of(found, known), ready, found.uuid


def _known(opened: OpenRegistry, typed: str) -> Abonnement:
    found = opened.abonnement(typed)
    if not found.is_amqp:
        raise Conflict(f"abonnement {found.uuid} has no queue that its consumer reads")
    return found


async def _show(settings: Settings, typed: str) -> tuple[Abonnement, dict[str, Any]]:
    async with _opened(settings) as (opened, known):
        found = _known(opened, typed)
    ((_, facts),) = await _with_depths(settings, known, [found])
    return found, facts


async def _looked_at(settings: Settings) -> list[tuple[Abonnement, dict[str, Any]]]:
    async with _opened(settings) as (opened, known):
        found = [each for each in opened.catalogue.abonnementen.values() if each.is_amqp]
    found.sort(key=lambda each: (each.client_id, each.uuid))
    return await _with_depths(settings, known, found)


async def _with_depths(
    settings: Settings, known: Settings, found: Sequence[Abonnement]
) -> list[tuple[Abonnement, dict[str, Any]]]:
    """How each connects, with what is in its queue: None where RabbitMQ does not tell."""
    from router.queue_depth import depths

    of = {each.uuid: connection_of(each, known) for each in found}
    told: Mapping[str, Any] = {}
    if of:
        try:
            async with opened_link(settings) as link:
                assert link.connection is not None  # noqa: S101 - it is open
                told = await depths(link.connection, [each.queue for each in of.values()])
        except BrokerError as error:
            note(f"what is in the queues is not known: {error}")
    rows = []
    for each in found:
        depth = told.get(of[each.uuid].queue)
        counts = {
            "messages": None if depth is None else depth.messages,
            "consumers": None if depth is None else depth.consumers,
        }
        rows.append((each, {"uuid": str(each.uuid), **of[each.uuid].facts(), **counts}))
    return rows


async def _definitions(settings: Settings) -> dict[str, Any]:
    async with _opened(settings) as (opened, known):
        found = [each for each in opened.catalogue.abonnementen.values() if each.is_amqp]
        return definitions(found, vhost=vhost_of(known.amqp_url[0] if known.amqp_url else ""))
