"""POST /abonnement/{uuid}/redeliver: notificaties of the past once more, as a job of the keeper.

The same job as that of `nrc replay`. Never more than the asker may have: only what there is a delivery of to
this very abonnement, so nothing of before it was made; only what its filters ask for now; and nothing that an
operator removed.
"""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict

from extra.asking import Extra, asked_moment, now_ms, parts
from extra.missed import states_of
from gateway.http.requests import read_query
from gateway.http.responses import json_answer
from ledger.explaining import Clock
from ledger.ledger import Ledger
from ledger.operating.replays import Plan, Replay
from ledger.values import Search, State
from runtime.log import logger
from schemas.application import Scope
from schemas.errors import InvalidParam, NotFound, Throttled, ValidationError
from schemas.fields import NON_FIELD, Text100, as_list, as_text, fault

MOST_IDS = 100
MOST = 10_000  # notificaties of one job
PAGE = 1000  # that are counted together
RATE = 50.0  # a second, as `nrc replay` by default
COST = 5.0  # requests
UNFINISHED = 1000  # jobs that are gone through to see whether one is of this abonnement
RETRY_AFTER = 30  # seconds

SETTLED = frozenset({State.DELIVERED, State.UNDELIVERABLE, State.NOT_WANTED})
"""What may be sent again. What is still to come comes; what an operator removed stays so."""

log = logger(__name__)


def _ids(value: Any) -> tuple[UUID, ...]:
    items = as_list(value)
    if not 1 <= len(items) <= MOST_IDS:
        raise fault("invalid", f"Geef van 1 tot en met {MOST_IDS} ids.")
    try:
        return tuple(UUID(as_text(each)) for each in items)
    except ValueError:
        raise fault("invalid", "Elk id is een UUID: het webhook-id van de notificatie.") from None


def _states(value: Any) -> tuple[str, ...]:
    return tuple(as_text(each) for each in as_list(value))


class Asked(BaseModel):
    """The body. ids, or a filter of the others; without any of these all that is undeliverable."""

    model_config = ConfigDict(extra="ignore", strict=True)

    ids: Annotated[tuple[UUID, ...], BeforeValidator(_ids)] | None = None
    status: Annotated[tuple[str, ...], BeforeValidator(_states)] | None = None
    since: Text100 | None = None
    until: Text100 | None = None
    kanaal: Text100 | None = None
    reden: Text100 | None = None


async def begin(request: web.Request) -> web.Response:
    """202 with a job that sends these notificaties to an own abonnement again."""
    extra, _ = parts(request)
    client = await extra.asks(request, Scope.CONSUMEREN, cost=COST)
    abonnement = await extra.own(request, client)
    read_query(request)
    asked = await extra.body(request, Asked)
    search = _search(asked, abonnement.uuid)
    async with extra.ledger(client) as ledger:
        await _must_be_free(ledger, abonnement.uuid)
        total = await _count(ledger, search)
        reason = f"{client.client_id}: {asked.reden or 'eigen verzoek'}"
        plan = Plan(abonnement.uuid, search, reason, RATE, total)
        replay = await ledger.replays.make(plan)
    log.info(
        "redelivery begun",
        replay=replay.number,
        abonnement=str(abonnement.uuid),
        client=client.client_id,
        notificaties=total,
    )
    where = {"Location": _url(extra, request, abonnement.uuid, replay.number)}
    return json_answer(_facts(extra, request, replay), status=202, headers=where)


async def show(request: web.Request) -> web.Response:
    """200 with how far a job of an own abonnement is."""
    extra, _ = parts(request)
    client = await extra.asks(request, Scope.CONSUMEREN)
    abonnement = await extra.own(request, client)
    read_query(request)
    async with extra.ledger(client) as ledger:
        replay = await ledger.replays.replay(int(request.match_info["nummer"]))
    if replay is None or replay.plan.abonnement != abonnement.uuid:
        raise NotFound("Dit abonnement heeft geen herhaling met dit nummer.")
    return json_answer(_facts(extra, request, replay))


def _search(asked: Asked, abonnement: UUID) -> Search:
    """What is asked for, within what this abonnement may have. Raises ValidationError."""
    named = [name for name in ("status", "since", "until", "kanaal") if getattr(asked, name) is not None]
    if asked.ids is not None:
        if named:
            reason = f"Geef ids, of een filter ({', '.join(named)}), en niet allebei."
            raise ValidationError([InvalidParam(NON_FIELD, "invalid", reason)])
        return Search(abonnement=abonnement, states=SETTLED, ids=asked.ids)
    faults: list[InvalidParam] = []
    states, moments = frozenset({State.UNDELIVERABLE}), dict[str, int]()
    try:
        states = states if asked.status is None else _may_be_sent(states_of(asked.status, name="status"))
    except ValidationError as error:
        faults += error.invalid_params
    for name, text in (("since", asked.since), ("until", asked.until)):
        try:
            moments |= {name: asked_moment(name, text)} if text is not None else {}
        except ValidationError as error:
            faults += error.invalid_params
    if faults:
        raise ValidationError(faults)
    return Search(
        abonnement=abonnement,
        states=states,
        kanaal=asked.kanaal,
        after=moments.get("since"),
        # What comes from now on is not of the past.
        before=min(now_ms(), moments.get("until", now_ms())),
    )


def _may_be_sent(states: frozenset[State]) -> frozenset[State]:
    if states <= SETTLED:
        return states
    reason = f"Opnieuw verzenden kan van: {', '.join(sorted(SETTLED))}. Wat nog onderweg is, komt vanzelf."
    raise ValidationError([InvalidParam("status", "invalid", reason)])


async def _must_be_free(ledger: Ledger, abonnement: UUID) -> None:
    """Raise Throttled while another job of this abonnement is not done."""
    unfinished = await ledger.replays.replays(limit=UNFINISHED, unfinished=True)
    if any(each.plan.abonnement == abonnement for each in unfinished):
        raise Throttled(
            "Voor dit abonnement loopt al een herhaling; wacht tot die klaar is.", retry_after=RETRY_AFTER
        )


async def _count(ledger: Ledger, search: Search) -> int:
    """How many there are. Raises ValidationError for none, and for more than MOST."""
    total, after = 0, None
    while page := await ledger.search(search, limit=PAGE, after=after, oldest_first=True):
        total += len(page)
        after = page[-1].id
        if total > MOST or len(page) < PAGE:
            break
    if not total:
        reason = "Hiervan is niets voor dit abonnement afgehandeld; wat nog onderweg is, komt vanzelf."
        raise ValidationError([InvalidParam("ids" if search.ids else NON_FIELD, "invalid", reason)])
    if total > MOST:
        reason = f"Dit zijn er meer dan {MOST}; vraag met since en until om minder tegelijk."
        raise ValidationError([InvalidParam(NON_FIELD, "invalid", reason)])
    return total


def _facts(extra: Extra, request: web.Request, replay: Replay) -> dict[str, Any]:
    return {
        "url": _url(extra, request, replay.plan.abonnement, replay.number),
        "nummer": replay.number,
        "state": replay.progress.value,
        "notificaties": replay.plan.total,
        "sent": replay.sent,
        "skipped": replay.skipped,
        "made": Clock.utc(replay.made),
        "ended": Clock.utc(replay.ended),
    }


def _url(extra: Extra, request: web.Request, abonnement: UUID, number: int) -> str:
    return extra.url(request, f"abonnement/{abonnement}/redeliver/{number}")
