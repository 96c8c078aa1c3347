"""POST /abonnement/{uuid}/test: the standard's test message to a callback, and what it answered.

Nothing of the answer but its status: this must not become a way to read what stands inside our network.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from deliverer.http.client import CallbackClient, Failure, FailureClass
from deliverer.http.dutch import why_none
from extra.asking import parts
from gateway.api.callback_check import TEST_MESSAGE
from gateway.http.requests import read_query
from gateway.http.responses import json_answer
from ledger.explaining.dutch import milliseconds
from schemas.abonnement import Abonnement
from schemas.application import Scope
from schemas.errors import InvalidParam, Overloaded, ValidationError
from schemas.fields import NON_FIELD

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
    """200 with what the callback of an own abonnement answered to the test message, whatever that was."""
    extra, gateway = parts(request)
    client = await extra.asks(request, Scope.CONSUMEREN, cost=COST)
    abonnement = await extra.own(request, client)
    read_query(request)
    if request.can_read_body:
        await extra.body(request, Nothing)
    if abonnement.is_pull:
        reason = "Dit abonnement heeft geen callback: wat ervoor is, wordt opgehaald."
        raise ValidationError([InvalidParam(NON_FIELD, "invalid", reason)])
    async with gateway.changes.one(client.client_id):
        answer = await tried(gateway.callbacks, abonnement, timeout=gateway.settings.callback_timeout)
    return json_answer(
        {
            "taken": answer.taken,
            "status": answer.status,
            "ms": round(answer.ms, 1),
            "text": answer.text,
        }
    )


async def tried(callbacks: CallbackClient, abonnement: Abonnement, *, timeout: float) -> Tried:
    """Send the test message with its `auth`. timeout: seconds.

    Raises Overloaded when this process has no files or memory left for a request.
    """
    began = perf_counter()
    answer = await callbacks.post(
        abonnement.callback_url,
        body=TEST_MESSAGE,
        headers={"Authorization": abonnement.auth, "nrc-abonnement": str(abonnement.uuid)},
        timeout=timeout,
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
