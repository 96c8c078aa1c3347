"""POST /abonnement/{uuid}/test: the standard's test message to a callback, and what it answered.

To an abonnement without a callback it is put ready, or into its queue in RabbitMQ, like any other.

Nothing of the answer but its status: this must not become a way to read what stands inside our network.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict

from deliverer.http.client import CallbackClient, Failure, FailureClass
from deliverer.http.dutch import why_none
from extra.asking import RETRY_AFTER, now_ms, parts
from gateway.api.callback_check import TEST_MESSAGE, test_request
from gateway.http.responses import json_answer
from gateway.state import Gateway
from ledger.explaining.dutch import milliseconds
from ledger.ids import new_id
from ledger.values import Entry
from router.names import amqp_queue
from router.publishing import Outgoing
from runtime.settings import Settings
from schemas.abonnement import Abonnement
from schemas.errors import BrokerError, LedgerError, Overloaded, ServiceUnavailable

COMMIT_WITHIN = 5.0  # seconds
COST = 5.0  # requests; somebody else's server works for each


@dataclass(frozen=True, slots=True)
class Tried:
    """What a callback answered to the test message.

    taken: whether that is a success. status: None when there was no answer. ms: how long it took. text: the
    same in Dutch.
    """

    taken: bool
    status: int | None
    ms: float
    text: str


class Nothing(BaseModel):
    """A body that asks for nothing; there need not be one."""

    model_config = ConfigDict(extra="forbid", strict=True)


async def try_callback(request: web.Request) -> web.Response:
    """200 with what the callback of an own abonnement answered to the test message, whatever that was.

    Of one without a callback: once the message is ready, or in the queue that its consumer reads.
    """
    extra, gateway = parts(request)
    client, abonnement = await extra.asks_about_own(request, cost=COST)
    if request.can_read_body:
        await extra.body(request, Nothing)
    async with gateway.changes.one(client.client_id):
        if abonnement.is_pull:
            answer = await _put_ready(gateway, abonnement)
        elif abonnement.is_amqp:
            answer = await _put_into_queue(gateway, abonnement)
        else:
            answer = await tried(gateway.callbacks, abonnement, settings=gateway.settings)
    return json_answer(
        {
            "taken": answer.taken,
            "status": answer.status,
            "ms": round(answer.ms, 1),
            "text": answer.text,
        }
    )


async def _put_ready(gateway: Gateway, abonnement: Abonnement) -> Tried:
    """Write the test message as one that was accepted for this abonnement. Raises ServiceUnavailable."""
    began = perf_counter()
    content = orjson.loads(TEST_MESSAGE)
    entry = Entry(
        id=new_id(),
        received=now_ms(),
        client=abonnement.client_id,
        kanaal=content["kanaal"],
        resource=content["resource"],
        actie=content["actie"],
        hoofd_object=content["hoofdObject"],
        resource_url=content["resourceUrl"],
        kenmerken={},
        body=TEST_MESSAGE,
        catalogue=gateway.catalogue.number,
        matched=(abonnement.uuid,),
    )
    try:
        await gateway.writer.add(entry, within=COMMIT_WITHIN)
    except LedgerError as error:
        raise ServiceUnavailable(
            "Het grootboek kan dit nu niet vastleggen; probeer het zo opnieuw.", retry_after=RETRY_AFTER
        ) from error
    text = "Het testbericht staat klaar: haal het op met pull, en bevestig het zoals elk ander bericht."
    return Tried(True, None, (perf_counter() - began) * 1000, text)


async def _put_into_queue(gateway: Gateway, abonnement: Abonnement) -> Tried:
    """Publish the test message into the queue that its consumer reads. Raises ServiceUnavailable."""
    began, queue = perf_counter(), amqp_queue(abonnement.uuid)
    headers = {"nrc-abonnement": str(abonnement.uuid), "nrc-test": "true"}
    try:
        await gateway.publisher.publish(Outgoing("", queue, TEST_MESSAGE, str(new_id()), headers))
    except BrokerError as error:
        raise ServiceUnavailable(
            f"RabbitMQ neemt het testbericht nu niet aan; is wachtrij {queue} vol? Probeer het zo opnieuw.",
            retry_after=RETRY_AFTER,
        ) from error
    text = f"Het testbericht staat in wachtrij {queue}: lees het daar, zoals elk ander bericht."
    return Tried(True, None, (perf_counter() - began) * 1000, text)


async def tried(callbacks: CallbackClient, abonnement: Abonnement, *, settings: Settings) -> Tried:
    """Send the test message with its `auth`, in the form in which it is sent messages.

    Raises Overloaded when this process has no files or memory left for a request.
    """
    test = test_request(abonnement.options, settings)
    began = perf_counter()
    answer = await callbacks.post(
        abonnement.callback_url,
        body=test.body,
        headers={
            **test.headers,
            "Authorization": abonnement.auth,
            "nrc-abonnement": str(abonnement.uuid),
            # By this a callback tells it from the check when an abonnement is made; the inbox does.
            "nrc-test": "true",
        },
        timeout=settings.callback_timeout,
        auth=abonnement.callback_auth,
    )
    took = (perf_counter() - began) * 1000
    if isinstance(answer, Failure) and answer.kind is FailureClass.SHORTAGE:
        raise Overloaded(f"nothing left to make a request with: {answer.detail}")
    taken = not isinstance(answer, Failure) and 200 <= answer.status < 300
    if answer.status is None and isinstance(answer, Failure):
        text = f"De callback gaf geen antwoord: {why_none(answer)}."
    else:
        text = f"De callback antwoordde met status {answer.status}, na {milliseconds(took)}."
        if not taken:
            text += " Alleen een status van 200 tot en met 299 is goed."
    return Tried(taken, answer.status, took, text)
