"""POST /abonnement/{uuid}/redeliver: notificaties of the past once more, as a job of the keeper.

GET and DELETE /abonnement/{uuid}/redeliver/{number}: how far such a job is, and no more of it.

The same job as that of `nrc replay`. Never more than the asker may have: only what there is a delivery of to
this very abonnement, so nothing of before it was made; only what its filters ask for now; and nothing that an
operator removed.
"""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict

from extra.asking import NO_MOMENT, Extra, moment_of, now_ms, parts
from extra.missed import NO_STATE, states_of
from gateway.http.responses import json_answer
from gateway.tokens import Credentials
from ledger.explaining import Clock
from ledger.ledger import Ledger
from ledger.operating.replays import UNFINISHED as GOING_ON
from ledger.operating.replays import Plan, Progress, Replay
from ledger.values import Notificatie, Search, State, verdict
from runtime.log import logger
from schemas.abonnement import Abonnement
from schemas.errors import InvalidParam, NotFound, PermissionDenied, Throttled, ValidationError
from schemas.fields import NON_FIELD, Text100, YesOrNo, as_list, as_text, fault

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


def _states(value: Any) -> frozenset[State]:
    found = states_of([as_text(each) for each in as_list(value)])
    if found is None:
        raise fault("invalid", NO_STATE)
    if not found <= SETTLED:
        known = ", ".join(sorted(SETTLED))
        raise fault("invalid", f"Opnieuw verzenden kan van: {known}. Wat nog onderweg is, komt vanzelf.")
    return found


def _moment(value: Any) -> int:
    found = moment_of(as_text(value))
    if found is None:
        raise fault("invalid", NO_MOMENT)
    return found


Moment = Annotated[int, BeforeValidator(_moment)]


class Asked(BaseModel):
    """The body: ids, or a filter of status, since, until and kanaal, or alles: all that is undeliverable.

    proef: only say how many these are.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    ids: Annotated[tuple[UUID, ...], BeforeValidator(_ids)] | None = None
    status: Annotated[frozenset[State], BeforeValidator(_states)] | None = None
    since: Moment | None = None
    until: Moment | None = None
    kanaal: Text100 | None = None
    alles: YesOrNo | None = None
    proef: YesOrNo | None = None
    reden: Text100 | None = None


async def begin(request: web.Request) -> web.Response:
    """202 with a job that sends these notificaties to an own abonnement again; of a trial 200, and no job."""
    extra, _ = parts(request)
    client, abonnement = await extra.asks_about_own(request, cost=COST)
    asked = await extra.body(request, Asked)
    search = _search(asked, abonnement.uuid)
    async with extra.ledger(client) as ledger:
        if asked.proef:
            found = await _found(ledger, search)
            return json_answer(
                {
                    "notificaties": len(found),
                    "oldest": Clock.utc(found[0].received) if found else None,
                    "newest": Clock.utc(found[-1].received) if found else None,
                }
            )
        await _must_be_free(ledger, abonnement.uuid)
        total = len(await _found(ledger, search))
        if not total:
            why = "Hiervan is niets voor dit abonnement afgehandeld; wat nog onderweg is, komt vanzelf."
            raise ValidationError([InvalidParam("ids" if search.ids else NON_FIELD, "invalid", why)])
        reason = f"{_own(client)}{asked.reden or 'eigen verzoek'}"
        plan = Plan(abonnement.uuid, search, reason, RATE, total, lacking=_lacking(search))
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
    client, abonnement = await extra.asks_about_own(request)
    async with extra.ledger(client) as ledger:
        replay = await _existing(ledger, request, abonnement)
    return json_answer(_facts(extra, request, replay))


async def stop(request: web.Request) -> web.Response:
    """200 with a job of one's own that sends nothing more; one that has ended stays as it is."""
    extra, _ = parts(request)
    client, abonnement = await extra.asks_about_own(request)
    async with extra.ledger(client) as ledger:
        replay = await _existing(ledger, request, abonnement)
        if replay.progress in GOING_ON and not replay.plan.reason.startswith(_own(client)):
            raise PermissionDenied("De beheerder begon deze herhaling; vraag hem om haar te stoppen.")
        stopped = await ledger.replays.change(replay.number, Progress.STOPPED)
        replay = await _existing(ledger, request, abonnement)
    if stopped:
        log.info(
            "redelivery stopped",
            replay=replay.number,
            abonnement=str(abonnement.uuid),
            client=client.client_id,
            sent=replay.sent,
        )
    return json_answer(_facts(extra, request, replay))


async def _existing(ledger: Ledger, request: web.Request, abonnement: Abonnement) -> Replay:
    """The job of the path. Raises NotFound."""
    replay = await ledger.replays.replay(int(request.match_info["nummer"]))
    if replay is None or replay.plan.abonnement != abonnement.uuid:
        raise NotFound("Dit abonnement heeft geen herhaling met dit nummer.")
    return replay


def _own(client: Credentials) -> str:
    """What the reason of a job begins with that this application began."""
    return f"{client.client_id}: "


def _search(asked: Asked, abonnement: UUID) -> Search:
    """What is asked for, within what this abonnement may have. Raises ValidationError."""
    named = [name for name in ("status", "since", "until", "kanaal") if getattr(asked, name) is not None]
    kinds = [asked.ids is not None, bool(named), bool(asked.alles)]
    if sum(kinds) != 1:
        reason = (
            "Geef een van deze: ids, een filter (status, since, until, kanaal), of alles: true voor alles "
            "wat onbestelbaar is."
        )
        raise ValidationError([InvalidParam(NON_FIELD, "invalid", reason)])
    if asked.ids is not None:
        return Search(abonnement=abonnement, states=SETTLED, ids=asked.ids)
    now = now_ms()
    return Search(
        abonnement=abonnement,
        states=asked.status or frozenset({State.UNDELIVERABLE}),
        kanaal=asked.kanaal,
        after=asked.since,
        # What comes from now on is not of the past.
        before=now if asked.until is None else min(now, asked.until),
    )


async def _must_be_free(ledger: Ledger, abonnement: UUID) -> None:
    """Raise Throttled while another job of this abonnement is not done."""
    unfinished = await ledger.replays.replays(limit=UNFINISHED, unfinished=True)
    if any(each.plan.abonnement == abonnement for each in unfinished):
        raise Throttled(
            "Voor dit abonnement loopt al een herhaling; wacht tot die klaar is.", retry_after=RETRY_AFTER
        )


async def _found(ledger: Ledger, search: Search) -> list[Notificatie]:
    """Those that a job sends, the oldest first. Raises ValidationError for more than MOST."""
    found: list[Notificatie] = []
    after = None
    while page := await ledger.search(search, limit=PAGE, after=after, oldest_first=True):
        rows = await ledger.deliveries([each.id for each in page]) if _lacking(search) else {}
        for each in page:
            own = [row for row in rows.get(each.id, ()) if row.key.abonnement == search.abonnement]
            if not own or verdict(own).state is not State.DELIVERED:
                found.append(each)
        after = page[-1].id
        if len(found) > MOST:
            reason = f"Dit zijn er meer dan {MOST}; vraag met since en until om minder tegelijk."
            raise ValidationError([InvalidParam(NON_FIELD, "invalid", reason)])
        if len(page) < PAGE:
            break
    return found


def _lacking(search: Search) -> bool:
    """Whether only what did not come is meant: not what an earlier job delivered since."""
    return State.DELIVERED not in search.states


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
