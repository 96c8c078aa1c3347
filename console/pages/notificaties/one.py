"""One notificatie: what came, where it went, and what became of it there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from console.page import Page, Visit
from console.pages.notificaties.acting import AGAIN, allowed
from console.pages.notificaties.telling import (
    STATES,
    Step,
    account_of,
    badge_of,
    callback_of,
    content_of,
    name_of,
    notificatie_of,
    timeline,
)
from console.pages.opnieuw.telling import maker_of
from ledger.explaining import not_complete
from ledger.explaining.account import Told
from ledger.operating.replays import Replay
from ledger.values import ORIGINAL, Notificatie
from operating.notificaties.finding import Account
from operating.notificaties.redelivering import MAY_BE_DROPPED, MAY_BE_SENT_NOW
from schemas.abonnement import Abonnement
from schemas.errors import ParseError
from schemas.jsontext import indented_json
from schemas.notificatie import kenmerken_of

MOST_SHOWN = 256 * 1024  # bytes of a body
MOST_OTHERS = 50  # abonnementen on the kanaal that did not get it


@dataclass(frozen=True, slots=True)
class Sent:
    """A delivery. acts: (query of the page that asks once more, text) of what may be done with it.

    replay, maker: of one that was asked for: which, and who asked.
    """

    told: Told
    badge: tuple[str, str]
    steps: Sequence[Step]
    acts: Sequence[tuple[str, str]]
    replay: Replay | None
    maker: str


@dataclass(frozen=True, slots=True)
class Whom:
    """An abonnement, with its deliveries of this notificatie, the newest first."""

    abonnement: UUID
    client: str
    callback: str
    sent: Sequence[Sent]


@dataclass(frozen=True, slots=True)
class One:
    """What the page shows.

    body: as people read it; None when it is not kept any more. cut: how many of its bytes are shown, when
    that is not all. others: abonnementen on its kanaal without a delivery. more: how many others there are.
    several: (query, text) of what may be done with all its deliveries at once.
    """

    notificatie: Notificatie
    name: str
    at: float
    object: str
    resource_url: str
    kenmerken: Mapping[str, str]
    body: str | None
    cut: int
    whom: Sequence[Whom]
    others: Sequence[Abonnement]
    more: int
    several: Sequence[tuple[str, str]]
    incomplete: str


async def show(visit: Visit) -> One:
    """What ledger and registry know of it."""
    ledger = await visit.console.ledger.get()
    notificatie = await notificatie_of(visit, ledger)
    account = account_of(visit, ledger)
    told = (await account.deliveries([notificatie]))[notificatie.id]
    whom = [await _whom(visit, account, notificatie, each) for each in _by_abonnement(told)]
    content = content_of(notificatie.body)
    others = _others(visit, notificatie, told)
    gaps = await account.incomplete(after=notificatie.received, before=notificatie.received)
    body, cut = _shown(notificatie.body)
    return One(
        notificatie,
        name_of(notificatie),
        notificatie.received / 1000,
        str(content.get("hoofdObject", "")),
        str(content.get("resourceUrl", "")),
        (kenmerken_of(notificatie.body) or {}) if notificatie.body is not None else {},
        body,
        cut,
        whom,
        others[:MOST_OTHERS],
        max(0, len(others) - MOST_OTHERS),
        _several(told),
        f"{not_complete(account.clock, gaps).capitalize()}." if gaps else "",
    )


def _by_abonnement(told: Sequence[Told]) -> list[list[Told]]:
    """Those of one abonnement together, the newest first; the abonnement that needs a look stands first."""
    groups: dict[UUID, list[Told]] = {}
    for each in sorted(told, key=_newest, reverse=True):
        groups.setdefault(each.abonnement, []).append(each)
    return sorted(groups.values(), key=lambda group: _urgency(group[0]))


def _newest(told: Told) -> tuple[bool, int, int]:
    """What is still to come before what is over, then by when something happened last."""
    delivery = told.delivery
    assert delivery is not None  # noqa: S101 - of Account.deliveries
    return delivery.is_open, delivery.last_at, delivery.key.replay


def _urgency(told: Told) -> tuple[int, str, str]:
    """What needs a look stands first."""
    assert told.delivery is not None  # noqa: S101 - of Account.deliveries
    kinds = ("danger", "warning", "neutral", "safe")
    return kinds.index(STATES[told.delivery.state][0]), told.client, str(told.abonnement)


async def _whom(visit: Visit, account: Account, notificatie: Notificatie, group: Sequence[Told]) -> Whom:
    known = visit.console.catalogue.everyone.get(group[0].abonnement)
    callback = callback_of(known) if known is not None else ""
    sent = [await _sent(visit, account, notificatie, each, newest=each is group[0]) for each in group]
    return Whom(group[0].abonnement, group[0].client, callback, sent)


async def _sent(
    visit: Visit, account: Account, notificatie: Notificatie, told: Told, *, newest: bool
) -> Sent:
    """newest: it is the newest of its abonnement; with the others nothing new is sent."""
    assert told.delivery is not None  # noqa: S101 - of Account.deliveries
    known = visit.console.catalogue.everyone.get(told.abonnement)
    probe = known.hold.next_probe if known is not None and known.hold is not None else None
    acts = [
        (_query(act, told.abonnement, told.delivery.key.replay), text)
        for act, text in allowed(told.delivery, exists=known is not None)
        if newest or act != AGAIN
    ]
    number = told.delivery.key.replay
    replay = await account.ledger.replays.replay(number) if number != ORIGINAL else None
    return Sent(
        told,
        badge_of(told),
        timeline(told, notificatie, now=account.clock.now, probe=probe),
        acts,
        replay,
        "" if replay is None else await maker_of(visit, replay),
    )


def _query(act: str, abonnement: object, replay: int) -> str:
    return urlencode({"doen": act, "abonnement": str(abonnement), "herhaling": str(replay)})


def _several(told: Sequence[Told]) -> list[tuple[str, str]]:
    """What may be done with all that wait, when these are several."""
    states = [each.delivery.state for each in told if each.delivery is not None]
    now = sum(state in MAY_BE_SENT_NOW for state in states)
    drop = sum(state in MAY_BE_DROPPED for state in states)
    acts = [("nu", now, f"Alle {now} nu proberen"), ("schrappen", drop, f"Alle {drop} schrappen")]
    return [(urlencode({"doen": act}), text) for act, count, text in acts if count > 1]


def _others(visit: Visit, notificatie: Notificatie, told: Sequence[Told]) -> list[Abonnement]:
    """Abonnementen on its kanaal that have no delivery of it."""
    sent = {each.abonnement for each in told}
    every = visit.console.catalogue.everyone.values()
    found = [
        each
        for each in every
        if each.uuid not in sent and any(group.naam == notificatie.kanaal for group in each.routed)
    ]
    return sorted(found, key=lambda each: (each.client_id, each.uuid))


def _shown(body: bytes | None) -> tuple[str | None, int]:
    """(the body as people read it, how many bytes are shown when these are not all)."""
    if body is None:
        return None, 0
    if len(body) > MOST_SHOWN:
        return body[:MOST_SHOWN].decode(errors="ignore"), MOST_SHOWN
    try:
        return indented_json(body), 0
    except (ParseError, RecursionError):
        return body.decode(errors="replace"), 0


PAGE = Page(
    "notificatie",
    "notificaties/{id}/",
    "Notificatie",
    "notificaties/one.html",
    show,
    under="notificaties",
)
