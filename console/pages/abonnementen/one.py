"""One abonnement: its state, filters, what waits for it, and what can be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from console.page import Page, Visit
from console.pages.abonnementen import cloudevents, options
from console.pages.abonnementen.amqp import OfQueue, queue_of
from console.pages.abonnementen.callback_auth import told_of
from console.pages.abonnementen.health import Health, kind_of, rank_of, sentence
from console.pages.abonnementen.listing import health_of, known_of_all, last_delivered
from console.pages.opnieuw.telling import BADGES, maker_of
from ledger.explaining.dutch import held_because
from ledger.ledger import Ledger
from ledger.operating.replays import Replay
from operating.status.certificates import tls_server
from operating.status.faults import Fault
from schemas.abonnement import Abonnement, State
from schemas.application import Scope
from schemas.errors import NotFound
from store.alerts import Certificate
from store.state_since import state_since

PATH = "abonnementen/{uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}}/"

MOST_REPLAYS = 500  # the newest of all, that are looked at
REPLAYS = 5  # that are shown
MOST_FILTERS = 500
"""Groups of filters that are shown."""


@dataclass(frozen=True, slots=True)
class Act:
    """What can be done: the last part of its page's address, and the text of the link to it."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class One:
    """What the page shows. Moments are Unix seconds.

    state: a sentence; kind: of the box around it.
    label: of its application. remark: what keeps the application from reading it; "" when nothing does.
    groups: (naam, filters), more: how many are not shown. failure: why the last attempt failed. certificate:
    of its callback, as alerts last saw it; certificate_fault: what is wrong with it. sent: what goes with
    each request. queue: what its consumer reads, of one of type amqp. options: how it wants
    to be delivered to. events: how it gets CloudEvents.
    """

    health: Health
    state: str
    kind: str
    acts: Sequence[Act]
    label: str
    remark: str
    groups: Sequence[tuple[str, Sequence[tuple[str, str]]]]
    more: int
    failure: str
    certificate: Certificate | None
    certificate_fault: str
    delivered: float | None
    replays: Sequence[tuple[Replay, tuple[str, str], str]]
    unknown: Fault | None
    sent: Sequence[str]
    queue: OfQueue | None = None
    options: Sequence[str] = ()
    events: Sequence[str] = ()


def asked_for(visit: Visit) -> Abonnement:
    """The abonnement of the page's address. Raises NotFound."""
    found = visit.console.catalogue.everyone.get(UUID(visit.request.match_info["uuid"]))
    if found is None:
        raise NotFound("Dit abonnement is er niet (meer).")
    return found


async def show(visit: Visit) -> One:
    """From the registry's copy and the ledger."""
    abonnement = asked_for(visit)
    known = await known_of_all(visit)
    every = [*visit.console.catalogue.everyone.values()]
    (health,) = (
        each for each in await health_of(visit, every, known) if each.abonnement.uuid == abonnement.uuid
    )
    failure = health.condition.last_failure
    since = await state_since(visit.console.registry, abonnement, failure)
    health = replace(health, since=since)
    application = visit.console.catalogue.applications.get(abonnement.client_id)
    certificate = await _certificate(visit, abonnement)
    groups = [(group.naam, group.filters) for group in abonnement.kanalen]
    return One(
        health,
        sentence(health, now=visit.now),
        kind_of(health, rank_of(health, now=visit.now)),
        acts_of(abonnement),
        application.label if application else "",
        _remark(visit, abonnement),
        groups[:MOST_FILTERS],
        max(0, len(groups) - MOST_FILTERS),
        held_because(failure.detail) if failure else "",
        certificate,
        held_because(certificate.fault) if certificate else "",
        await last_delivered(known.ledger, abonnement.uuid),
        await _replays(visit, known.ledger, abonnement.uuid),
        known.fault,
        told_of(abonnement),
        await queue_of(visit, abonnement),
        options=options.told_of(abonnement),
        events=cloudevents.told_of(abonnement),
    )


async def _replays(
    visit: Visit, ledger: Ledger | None, uuid: UUID
) -> list[tuple[Replay, tuple[str, str], str]]:
    """The newest to it, each with its badge and who asked for it."""
    newest = [] if ledger is None else await ledger.replays.replays(limit=MOST_REPLAYS)
    found = [each for each in newest if each.plan.abonnement == uuid][:REPLAYS]
    return [(each, BADGES[each.progress], await maker_of(visit, each)) for each in found]


async def _certificate(visit: Visit, abonnement: Abonnement) -> Certificate | None:
    server = tls_server(abonnement)
    found = () if server is None else await visit.console.registry.alerts.certificates()
    return next((each for each in found if (each.host, each.port) == server), None)


def acts_of(abonnement: Abonnement) -> list[Act]:
    """What can be done with it in its state, the likeliest first."""
    suspend, resume = Act("stilleggen", "Stilleggen"), Act("hervatten", "Hervatten")
    give = Act("overdragen", "Overdragen")
    if abonnement.is_pull:  # nothing is sent to it
        return [give]
    rest = [
        Act("testbericht", "Testbericht verzenden"),
        Act("inloggegevens", "Inloggegevens"),
        Act("cloudevents", "CloudEvents"),
    ]
    if abonnement.is_amqp:
        rest = [Act("wachtwoord", "Nieuw wachtwoord")]
    rest += [Act("afleveropties", "Afleveropties"), give]
    match abonnement.state:
        case State.ACTIVE:
            return [suspend, *rest]
        case State.HELD:
            return [Act("proberen", "Nu proberen"), resume, suspend, *rest]
        case State.SUSPENDED:
            return [resume, *rest]


def _remark(visit: Visit, abonnement: Abonnement) -> str:
    application = visit.console.catalogue.applications.get(abonnement.client_id)
    if application is None:
        return "Deze applicatie is er niet (meer): niemand kan het abonnement via de API wijzigen."
    if not application.may(Scope.CONSUMEREN):
        return "Deze applicatie mag niet (meer) consumeren, en kan het abonnement niet wijzigen."
    return ""


PAGE = Page("abonnement", PATH, "Abonnement", "abonnementen/one.html", show, under="abonnementen")
