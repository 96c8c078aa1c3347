"""How the consumer of an own abonnement of type amqp connects, and another password for it, told once."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from extra.asking import Extra, parts
from extra.pull.abonnementen import as_json
from gateway.http.requests import read_query
from gateway.http.responses import json_answer
from gateway.state import Gateway
from gateway.tokens import Credentials
from router.amqp_direct.connecting import connection_of
from router.amqp_direct.passwords import new_password
from router.amqp_direct.registering import change_password
from router.queue_depth import Depth, depth_of
from runtime.log import logger
from schemas.abonnement import Abonnement
from schemas.application import Scope
from schemas.errors import BrokerError, Conflict, NotFound, PermissionDenied, ServiceUnavailable

COST = 5.0  # requests; RabbitMQ is asked something for each
DOWN_FOR = 5  # seconds
CONNECTED_WITHIN = 1.0  # seconds

log = logger(__name__)


def switched_on(gateway: Gateway) -> None:
    """Return where consumers may have a queue in RabbitMQ. Raises PermissionDenied."""
    if not gateway.settings.amqp_direct:
        raise PermissionDenied(
            "Hier lezen afnemers niet uit RabbitMQ: dat staat uit (NRC_AMQP_DIRECT). Neem een abonnement met "
            "een callback, of een dat je ophaalt (pull)."
        )


async def read(request: web.Request) -> web.Response:
    """200 with where it connects, what waits in its queue and who reads it; no password."""
    extra, gateway = parts(request)
    client = await extra.asks(request, Scope.CONSUMEREN)
    abonnement = await _own(extra, request, client)
    read_query(request)
    connection = connection_of(abonnement, gateway.settings)
    depth = await _depth(gateway, connection.queue)
    told = {"messages": depth.messages, "consumers": depth.consumers} if depth else {}
    return json_answer({**connection.facts(), "messages": None, "consumers": None, **told})


async def renew_password(request: web.Request) -> web.Response:
    """200 with another password; the former one is refused from now on. Open connections stay."""
    extra, gateway = parts(request)
    client = await extra.asks(request, Scope.CONSUMEREN, cost=COST)
    abonnement = await _own(extra, request, client)
    read_query(request)
    switched_on(gateway)
    async with gateway.changes.one(client.client_id):
        password = new_password()
        try:
            ready = await change_password(gateway.registry, gateway.router, abonnement.uuid, password)
        except Conflict:
            raise NotFound("Dit abonnement bestaat niet meer.") from None
        except BrokerError as error:
            log.warning("password not changed: RabbitMQ", reason=str(error))
            raise ServiceUnavailable(
                "RabbitMQ neemt nu geen ander wachtwoord aan. Vraag er zo opnieuw een.", retry_after=DOWN_FOR
            ) from error
        finally:
            await gateway.catalogue.try_refresh()
    log.info("amqp password changed", abonnement=str(abonnement.uuid), client=client.client_id)
    return json_answer(as_answer(extra, request, abonnement, password=password, ready=ready))


def as_answer(
    extra: Extra, request: web.Request, abonnement: Abonnement, *, password: str, ready: bool
) -> dict[str, Any]:
    """The abonnement with how its consumer connects. ready: whether RabbitMQ has its user already."""
    connection = connection_of(abonnement, extra.gateway.settings)
    return {
        **as_json(extra, request, abonnement),
        "amqp": {**connection.facts(), "password": password, "ready": ready},
    }


async def _own(extra: Extra, request: web.Request, client: Credentials) -> Abonnement:
    """The abonnement of the path, when it is this application's and of type amqp. Raises NotFound."""
    found = await extra.own(request, client)
    if not found.is_amqp:
        raise NotFound("Dit abonnement heeft geen wachtrij in RabbitMQ om te lezen.")
    return found


async def _depth(gateway: Gateway, queue: str) -> Depth | None:
    """What RabbitMQ says of its queue; None when it says nothing now, or has none."""
    try:
        connection = await gateway.router.link.connected(within=CONNECTED_WITHIN)
        return await depth_of(connection, queue)
    except BrokerError as error:
        log.info("queue of a consumer not looked at", reason=str(error))
        return None
