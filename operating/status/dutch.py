"""Tells what needs attention (attention.py) in Dutch sentences, each with the next step. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.explaining import Reader
from ledger.explaining.dutch import Clock, held_because, listed, number
from ledger.explaining.states import suspended_because
from ledger.keeper_ledger import Gap
from operating.conditions import Condition
from operating.status import attention
from operating.status.attention import Code
from operating.status.collecting import Status
from operating.status.faults import OF_LEDGER, OF_REGISTRY

SCOPES = {"everything": "alles", "kanaal": "kanaal", "abonnement": "abonnement"}


@dataclass(frozen=True, slots=True)
class Told:
    """What needs attention. then: the next step, a sentence. abonnement: its uuid, when it is about one.

    application: of that abonnement. technical: what a part or a fault said of it, mostly in English; "" when
    that is nothing. code: what it is about.
    """

    text: str
    then: str
    urgent: bool
    abonnement: str = ""
    application: str = ""
    technical: str = ""
    code: Code | None = None


def told(status: Status) -> list[Told]:
    """The urgent ones first."""
    clock = Clock(round(status.at * 1000))
    return [told_of(each, clock) for each in attention.concerns(status)]


def told_of(each: attention.Concern, clock: Clock) -> Told:
    """One of them."""
    if each.of is not None:
        text, then = _of_abonnement(each, each.of, clock)
        of = each.of.abonnement
        return Told(text, then, each.urgent, str(of.uuid), of.client_id, code=each.code)
    if each.gap is not None:
        text, then = _of_gap(each.code, each.gap, clock)
    elif each.code in (Code.HELD, Code.SUSPENDED, Code.WAITS_LONG, Code.QUEUE_UNREAD):
        others = "1 ander abonnement" if each.count == 1 else f"{number(each.count)} andere abonnementen"
        text, then = f"Hetzelfde geldt voor {others}.", "Ze staan onder Abonnementen."
    else:
        text, then = _of_system(each)
    technical = "" if each.code is Code.ALERTS_NOT_SENT else each.said  # of alerts it is told in Dutch
    return Told(text, then, each.urgent, technical=technical, code=each.code)


def _of_abonnement(each: attention.Concern, of: Condition, clock: Clock) -> tuple[str, str]:
    abonnement = of.abonnement
    whose = f"abonnement {abonnement.uuid} van {abonnement.client_id}"
    match each.code:
        case Code.HELD:
            why = held_because(abonnement.state_reason)
            if abonnement.is_amqp:
                lasts = f"neemt al {lasting(each.seconds)} niets aan ({why})"
                return (
                    f"De wachtrij van {whose} {lasts}; {_wait(of)}.",
                    "Spreek de afnemer. Zodra hij de wachtrij leest, gaat het afleveren vanzelf verder.",
                )
            return (
                f"De callback van {whose} doet het al {lasting(each.seconds)} niet ({why}); {_wait(of)}.",
                "Spreek de afnemer. Zodra de callback weer antwoordt, gaat het afleveren vanzelf verder.",
            )
        case Code.SUSPENDED:
            reason = abonnement.state_reason
            why = f" ({suspended_because(reason, Reader.OPERATOR)})" if reason else ""
            return (
                f"{whose.capitalize()} is stilgelegd{why}; {_wait(of)}.",
                "Spreek de afnemer, en hervat het abonnement als zijn kant weer goed is.",
            )
        case Code.QUEUE_UNREAD:
            many = "wacht 1 bericht" if each.count == 1 else f"wachten {number(each.count)} berichten"
            return (
                f"In RabbitMQ {many} op de afnemer van {whose}, en niemand leest ze.",
                "Spreek de afnemer. Is de wachtrij vol, dan wacht de rest hier tot zij gelezen is.",
            )
        case Code.UNDELIVERABLE:
            which = "is 1 notificatie" if each.count == 1 else f"zijn {number(each.count)} notificaties"
            return (
                f"Voor {whose} {which} onbestelbaar.",
                "Verzend ze opnieuw zodra de callback het doet, en schrap de rest.",
            )
        case Code.CERTIFICATE | Code.CLIENT_CERTIFICATE:
            return _of_certificate(each, whose, clock)
    last = of.last_failure
    error = f" De laatste fout: {held_because(last.detail)}." if last else ""
    return (
        f"Voor {whose} wacht een notificatie al {lasting(each.seconds)}.{error}",
        "Kijk of er genoeg wordt afgeleverd, en of de callback traag is.",
    )


def _of_certificate(each: attention.Concern, whose: str, clock: Clock) -> tuple[str, str]:
    at = clock.local(round(clock.now + each.seconds * 1000)).strftime("%d-%m-%Y om %H:%M")
    left = f"verloopt over {lasting(each.seconds)}" if each.seconds > 0 else "is verlopen"
    if each.code is Code.CLIENT_CERTIFICATE:
        more = f" en van {number(each.count - 1)} andere" if each.count > 1 else ""
        return (
            f"Het clientcertificaat {each.name} voor de callback van {whose}{more}, {left}: op {at}.",
            "Vraag een nieuw aan, en stel het in met Inloggegevens bij het abonnement.",
        )
    more = f" en van {number(each.count - 1)} andere" if each.count > 1 else ""
    return (
        f"Het certificaat van {each.name}, de callback van {whose}{more}, {left}: op {at}.",
        "Vraag de afnemer om het te vernieuwen; met een verlopen certificaat wordt niets afgeleverd.",
    )


def _of_gap(code: Code, gap: Gap, clock: Clock) -> tuple[str, str]:
    of = " ".join((SCOPES.get(gap.scope, gap.scope), gap.of)).strip()
    if code is Code.GAP_OF_OPERATOR:
        return (
            f"Gat {gap.nr} ({of}) is open sinds {clock.bare(gap.opened)}; een beheerder heeft het gemeld.",
            f"Sluit het als RabbitMQ weer alles bewaart: nrc ledger gaps close {gap.nr}.",
        )
    return (
        f"Wat RabbitMQ in gat {gap.nr} ({of}) kwijtraakte, is nog niet allemaal teruggegeven.",
        "Kijk in de log van nrc ledger wat dat tegenhoudt.",
    )


def _of_system(each: attention.Concern) -> tuple[str, str]:
    said, count = each.said, each.count
    share, free = f"{each.share:.0%}", f"{each.size / 1e9:.1f} GB".replace(".", ",")
    deliveries = "1 aflevering is" if count == 1 else f"{number(count)} afleveringen zijn"
    start = "Start die: nrc up, of nrc"
    told = {
        Code.GATEWAY_AWAY: (
            "Er antwoordt geen gateway, dus er wordt niets aangenomen.",
            f"{start} gateway.",
        ),
        Code.GATEWAY_NOT_READY: (
            "De gateway is niet klaar, en bronnen krijgen een 503.",
            "De bronnen sturen het opnieuw. Kijk met nrc health wat er ontbreekt.",
        ),
        Code.GATEWAY_WARNS: (
            "De gateway werkt, maar waarschuwt voor iets dat niet zo mag blijven.",
            "Kijk met nrc health wat er ontbreekt.",
        ),
        Code.AC_AWAY: (
            "De Autorisaties API antwoordt niet. Wat zij het laatst van een applicatie zei, geldt nog een "
            "dag; een applicatie waarvan niets bekend is, krijgt een 503.",
            "Spreek de beheerder van de Autorisaties API. Zodra zij antwoordt, geldt weer wat zij zegt.",
        ),
        Code.RABBITMQ_AWAY: (
            "RabbitMQ is niet te bereiken, dus er wordt niets afgeleverd.",
            "Start RabbitMQ. Wat de gateway intussen aanneemt, staat in het grootboek en volgt daarna.",
        ),
        Code.RABBITMQ_NOT_READY: (
            "RabbitMQ is niet klaar.",
            "Kijk met nrc health wat er moet gebeuren.",
        ),
        Code.ROUTER_AWAY: (
            "Er kan geen kanaal of abonnement gemaakt of veranderd worden.",
            f"{start} router.",
        ),
        Code.REGISTRY_AWAY: OF_REGISTRY,
        Code.LEDGER_AWAY: OF_LEDGER,
        Code.LEDGER_BEHIND: (
            f"Wat {each.name} de laatste {lasting(each.seconds)} deed, staat nog niet in het grootboek.",
            "Kijk in de log van die deliverer wat het schrijven tegenhoudt: nrc ledger status.",
        ),
        Code.NO_ALERTS: (
            "Er werkt geen proces dat waarschuwingen stuurt, terwijl er wel een bestemming is ingesteld.",
            f"{start} alerts.",
        ),
        Code.ALERTS_NOT_SENT: (
            f"Waarschuwingen per {each.name} komen al {lasting(each.seconds)} niet "
            f"aan ({held_because(said)}); er {'wacht' if count == 1 else 'wachten'} er {number(count)}.",
            "Herstel de instellingen onder Waarschuwingen, en probeer het met nrc alerts test.",
        ),
        Code.NO_KEEPER: (
            "Er werkt geen bewaarder: wat RabbitMQ kwijtraakt, wordt niet teruggegeven.",
            f"{start} ledger.",
        ),
        Code.NO_DELIVERER: (
            "De laatste 15 seconden is van geen deliverer iets gehoord: er wordt niets afgeleverd.",
            f"{start} deliverer.",
        ),
        Code.STUCK: (
            f"{deliveries} drie keer teruggegeven en weer kwijtgeraakt; er wordt niets meer geprobeerd.",
            "Zoek eerst waarom ze kwijtraken: nrc notificaties list --state stuck.",
        ),
        Code.UNSURE: (
            f"{deliveries} onzeker: ze stonden open in een oudere kopie van het grootboek.",
            "Beslis of ze opnieuw gaan of als afgeleverd tellen: nrc ledger audit.",
        ),
        Code.LEDGER_NEARLY_FULL: (
            f"Het grootboek gebruikt {share} van NRC_LEDGER_BUDGET.",
            "Maak het budget groter, of los op waarom er zoveel blijft wachten.",
        ),
        Code.UNDELIVERABLE: (
            f"{deliveries} onbestelbaar.",
            "Verzend ze opnieuw zodra dat kan, en schrap de rest: nrc undeliverable list.",
        ),
        Code.DISK: (
            f"De schijf met registratie en grootboek heeft nog {free} vrij ({share}).",
            "Maak er ruimte, of zet NRC_STATE_DIR op een grotere schijf.",
        ),
    }
    return told[each.code]


def _wait(each: Condition) -> str:
    if each.waiting is None:
        return "wat ervoor wacht is niet bekend"
    count = each.open
    return "1 notificatie wacht" if count == 1 else f"{number(count)} notificaties wachten"


def lasting(seconds: float) -> str:
    """How long that is: `45 seconden`, `12 minuten`, `3 uur`, `5 dagen`."""
    for one, several, size in (("dag", "dagen", 86400), ("uur", "uur", 3600), ("minuut", "minuten", 60)):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {one if count == 1 else several}"
    count = int(max(seconds, 0))
    return f"{count} {'seconde' if count == 1 else 'seconden'}"


def in_short(found: Sequence[Told]) -> str:
    """A sentence for who only wants to know whether anything is wrong."""
    urgent = sum(each.urgent for each in found)
    parts = [f"{urgent} nu"] if urgent else []
    if later := len(found) - urgent:
        parts.append(f"{later} binnen werktijd")
    return f"Te doen: {listed(parts)}." if parts else "Er is niets te doen."
