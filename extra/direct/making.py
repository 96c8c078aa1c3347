"""Makes an abonnement whose consumer reads its own queue in RabbitMQ. Its password is told here, once."""

from __future__ import annotations

from uuid import uuid4

from aiohttp import web
from pydantic import Field

from extra.asking import parts
from extra.direct.connecting import DOWN_FOR, as_answer, switched_on
from extra.pull.abonnementen import Asked, asked_of, kanalen_of
from gateway.http.requests import read_body, read_query
from gateway.http.responses import json_answer
from router.amqp_direct.connecting import amqp_abonnement
from router.amqp_direct.passwords import new_password
from router.amqp_direct.queues import AmqpQueue
from router.amqp_direct.registering import add_amqp
from runtime.log import logger
from schemas.application import Scope
from schemas.errors import BrokerError, ServiceUnavailable

COST = 5.0  # requests; a queue and a user are made for each

log = logger(__name__)


class AskedAmqp(Asked):
    """The body: what the abonnement asks for, and what its consumer reads."""

    amqp: AmqpQueue = Field(default_factory=lambda: AmqpQueue.model_validate({}))


async def create(request: web.Request) -> web.Response:
    """201 with the new abonnement and how its consumer connects; what is accepted from now on comes."""
    extra, gateway = parts(request)
    client = await extra.asks(request, Scope.CONSUMEREN, cost=COST)
    read_query(request)
    switched_on(gateway)
    async with gateway.changes.one(client.client_id):
        body = await read_body(request, limit=gateway.settings.max_body)
        await gateway.catalogue.refresh()
        asked = await gateway.large_bodies(len(body), lambda: asked_of(extra, body, AskedAmqp))
        password = new_password()
        made = amqp_abonnement(
            uuid4(),
            of=asked.amqp,
            kanalen=kanalen_of(extra, asked),
            client_id=client.client_id,
            password=password,
        )
        try:
            ready = await add_amqp(
                gateway.registry, gateway.router, made, quota=gateway.settings.quota_abonnementen
            )
        except BrokerError as error:
            log.warning("no abonnement made: RabbitMQ", client=client.client_id, reason=str(error))
            raise ServiceUnavailable(
                "De wachtrij of de gebruiker in RabbitMQ is nu niet te maken; er is niets gemaakt. Probeer "
                "het zo opnieuw.",
                retry_after=DOWN_FOR,
            ) from error
        finally:
            await gateway.catalogue.try_refresh()
    log.info("abonnement added", abonnement=str(made.uuid), client=client.client_id, amqp=True)
    answer = as_answer(extra, request, made, password=password, ready=ready)
    return json_answer(answer, status=201, headers={"Location": answer["url"]})
