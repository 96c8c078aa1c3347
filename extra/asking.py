"""What every handler here begins with: who asks, whether it asks too often, and about which abonnement.

Another application's abonnement is not found, whether or not there is one: 404 and not 403.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, TypeVar, get_args
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel

from extra.pull.waiting import Waiting
from extra.rates import Rates
from gateway.http.admission import Turns
from gateway.http.requests import must_accept_json, read_body, read_query, root_url
from gateway.state import GATEWAY, Gateway
from gateway.tokens import Credentials
from ledger.explaining import Clock, Reader
from ledger.explaining.account import Account
from ledger.ledger import Ledger
from ledger.reopening import ReadLedger
from router.history import aware
from runtime.log import Occasional, logger
from schemas.abonnement import Abonnement
from schemas.application import Scope
from schemas.errors import (
    BrokerError,
    Conflict,
    InvalidParam,
    LedgerError,
    NotAcceptable,
    NotFound,
    ServiceUnavailable,
    ValidationError,
)
from schemas.fields import parse, parse_date_time
from schemas.jsontext import read_json

ROOT = "/api/extra/v1"
FETCHED = "Dit abonnement heeft geen callback: er wordt niets heen gestuurd."
QUESTIONS = 8  # asked of the ledger at once, half of them by one application; the others wait
QUESTION_WITHIN = 5.0  # seconds that one waits for its turn
MOST_IN_ROW = 1000  # of what waits, gone through to find the place of one
RETRY_AFTER = 5  # seconds
REPORT_INTERVAL = 10.0  # seconds between two lines that say the same

M = TypeVar("M", bound=BaseModel)

log = logger(__name__)


@dataclass(slots=True)
class Extra:
    """The parts that the handlers here share, in one gateway."""

    gateway: Gateway
    reading: ReadLedger
    rates: Rates
    waiting: Waiting
    turns: Turns = field(default_factory=lambda: Turns(QUESTIONS, within=QUESTION_WITHIN))
    failures: Occasional = field(default_factory=lambda: Occasional(every=REPORT_INTERVAL))

    async def asks(
        self, request: web.Request, *any_of: Scope, cost: float = 1.0, accepts: str = ""
    ) -> Credentials:
        """Who asks. Raises NotAcceptable, PermissionDenied, or Throttled.

        cost: as of `Rates.take`. accepts: what the client must take, in place of JSON.
        """
        if accepts:
            _must_accept(request, accepts)
        else:
            must_accept_json(request)
        client = await self.gateway.authorise(request, *any_of)
        self.rates.take(client.client_id, now=time.monotonic(), cost=cost)
        return client

    async def asks_about_own(
        self, request: web.Request, *, cost: float = 1.0
    ) -> tuple[Credentials, Abonnement]:
        """Who asks, and about which abonnement of its own, without a query. Raises as `asks` and `own`."""
        client = await self.asks(request, Scope.CONSUMEREN, cost=cost)
        abonnement = await self.own(request, client)
        read_query(request)
        return client, abonnement

    async def own(self, request: web.Request, client: Credentials) -> Abonnement:
        """The abonnement of the path, when this application made it. Raises NotFound and RegistryError."""
        uuid, known = UUID(request.match_info["uuid"]), self.gateway.catalogue.everyone
        found = known.get(uuid)
        if found is None or found.client_id != client.client_id:
            # Another's too, or how long it takes would tell that there is one.
            await self.gateway.catalogue.fresh_look()
            found = known.get(uuid)
        if found is None or found.client_id != client.client_id:
            raise NotFound("Deze applicatie heeft geen abonnement met dit UUID.")
        return found

    async def change(self, abonnement: Abonnement, **wanted: Any) -> Abonnement:
        """The abonnement with these fields changed, which every process is told. Raises NotFound."""
        try:
            changed = await self.gateway.registry.change_abonnement(
                abonnement.uuid, lambda latest: replace(latest, **wanted)
            )
        except Conflict:
            raise NotFound("Dit abonnement bestaat niet meer.") from None
        await self.announce()
        return changed

    async def announce(self) -> None:
        """Have every process look at the registry. Where that fails they do by themselves, within seconds."""
        await self.gateway.catalogue.try_refresh()
        try:
            await self.gateway.router.announce()
        except BrokerError as error:
            log.info("change not announced", reason=str(error))

    async def own_without_callback(self, request: web.Request, client: Credentials) -> Abonnement:
        """The same of one that the standard's API does not know: it has no callback. Raises NotFound."""
        found = await self.own(request, client)
        return found if found.is_amqp else await self.own_pulled(request, client)

    async def own_pulled(self, request: web.Request, client: Credentials) -> Abonnement:
        """The same of one without a callback. Raises NotFound and RegistryError."""
        found = await self.own(request, client)
        if found.is_amqp:
            raise NotFound("Dit abonnement lees je in RabbitMQ; hier is niets op te halen.")
        if not found.is_pull:
            raise NotFound(
                "Dit abonnement heeft een callback; hier is niets op te halen, te wijzigen of op te zeggen. "
                f"Het staat op {self.gateway.url(request, f'abonnement/{found.uuid}')}."
            )
        return found

    @asynccontextmanager
    async def ledger(self, client: Credentials) -> AsyncIterator[Ledger]:
        """The ledger, in this application's turn. Raises Overloaded, or ServiceUnavailable."""
        async with self.turns.one(client.client_id):
            try:
                yield await self.reading.opened()
            except LedgerError as error:
                await self.reading.failed()
                self._cannot_read(error)

    def _cannot_read(self, error: LedgerError) -> NoReturn:
        if times := self.failures.due():
            log.warning("a question could not be answered from the ledger", reason=str(error), times=times)
        raise ServiceUnavailable(
            "Het grootboek kan dit nu niet beantwoorden. Vraag minder tegelijk (since, limit), of probeer "
            "het zo opnieuw.",
            retry_after=RETRY_AFTER,
        ) from error

    async def body(self, request: web.Request, model: type[M]) -> M:
        """The body of a request, as this model. Raises ParseError, ValidationError, and as `read_body`."""
        body = await read_body(request, limit=self.gateway.settings.max_body)
        asked, faults = parse(model, read_json(body))
        if asked is None:
            raise ValidationError(with_known(faults, model))
        return asked

    def account(self, ledger: Ledger) -> Account:
        """What ledger and registry know, told to a consumer."""
        return Account(
            ledger,
            self.gateway.registry,
            self.gateway.catalogue,
            most_attempts=1 + len(self.gateway.settings.retry_schedule),
            now=now_ms(),
            reader=Reader.CONSUMER,
            most_in_row=MOST_IN_ROW,
        )

    def url(self, request: web.Request, path: str) -> str:
        """The URL of a path of this API, from the root that the client used."""
        return f"{root_url(request, self.gateway.settings)}{ROOT}/{path}"


EXTRA: web.AppKey[Extra] = web.AppKey("extra", Extra)


def _must_accept(request: web.Request, media_type: str) -> None:
    """Raise NotAcceptable when the client does not take this."""
    asked = ",".join(request.headers.getall("Accept", ()))
    ranges = {each.partition(";")[0].strip().lower() for each in asked.split(",")}
    if asked and not ranges & {media_type, f"{media_type.partition('/')[0]}/*", "*/*"}:
        raise NotAcceptable(f"Hier is het antwoord {media_type}.")


def parts(request: web.Request) -> tuple[Extra, Gateway]:
    """The parts of these handlers, and of the gateway that they are in."""
    return request.app[EXTRA], request.app[GATEWAY]


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def moment(seconds: float | None) -> str | None:
    """Unix seconds as an RFC 3339 moment in UTC."""
    return None if seconds is None else Clock.utc(round(seconds * 1000))


NO_MOMENT = "Voer een datum en tijd in volgens RFC 3339, zoals 2026-03-27T10:59:13Z."


def moment_of(text: str) -> int | None:
    """Milliseconds since 1970 of an RFC 3339 text; None for another."""
    parsed = parse_date_time(text.replace(" ", "+") if text.count(" ") == 1 and "T" in text else text)
    return None if parsed is None else int(aware(parsed[0]).timestamp() * 1000)


def with_known(faults: Sequence[InvalidParam], model: type[BaseModel]) -> list[InvalidParam]:
    """The faults; of a field that the model, or a part of it, does not have, with those that it has."""
    return [
        replace(each, reason=f"{each.reason} Wel: {', '.join(known)}.")
        if each.code == "unknown-field" and (known := _names_beside(each.name, model))
        else each
        for each in faults
    ]


def _names_beside(path: str, model: type[BaseModel]) -> list[str]:
    """The names, as clients give them, of the fields beside this one; none where that is not known."""
    beside: type[BaseModel] | None = model
    for part in path.split(".")[:-1]:
        if beside is not None and not part.isdecimal():
            fields = {field.alias or name: field.annotation for name, field in beside.model_fields.items()}
            beside = _model_in(fields.get(part))
    return [field.alias or name for name, field in beside.model_fields.items()] if beside else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model in an annotation such as `Model | None` or `tuple[Model, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
