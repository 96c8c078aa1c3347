"""The explanation of a delivery in each of its states. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ledger.explaining.case import Case, Code
from ledger.explaining.dutch import failure, held_because, milliseconds, not_complete, number, times
from ledger.explaining.events import without_event
from ledger.explaining.fitting import Reader, Reason
from ledger.values import (
    CONSOLIDATED,
    DELIVERED_ALL_THE_SAME,
    NO_EVENT,
    ORIGINAL,
    TAKEN_AS_DELIVERED,
    Attempt,
    Cause,
    Delivery,
    State,
)
from schemas import abonnement as abonnementen

_NOT_SURE = {
    Cause.QUEUE: "is de wachtrij opnieuw gemaakt",
    Cause.EXCHANGE: "is de exchange van het kanaal opnieuw gemaakt",
    Cause.RABBITMQ: "was RabbitMQ kwijt wat erin wachtte",
}
_LOST = {
    Cause.OVERTAKEN: "waren latere notificaties al afgeleverd en deze niet",
    Cause.EMPTY: "was de wachtrij leeg en deze niet afgeleverd",
    Cause.DROPPED: "liet RabbitMQ het bericht vallen",
}


def of_delivery(case: Case, delivery: Delivery, reader: Reader) -> Iterator[Reason]:
    """Its state, and why it was sent more than once when it was."""
    yield _state(case, delivery, reader)
    if delivery.key.replay != ORIGINAL:
        text = f"Dit is herhaling {delivery.key.replay}: de notificatie is op verzoek nog eens verzonden."
        yield Reason(Code.REPLAYED, text, {"replay": delivery.key.replay})
    if delivery.round and delivery.state is State.DELIVERED:
        yield from _sent_again(case, delivery)


def _state(case: Case, delivery: Delivery, reader: Reader) -> Reason:
    clock = case.clock
    facts: dict[str, object] = {
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "at": clock.utc(delivery.last_at),
        "nextAt": clock.utc(delivery.next_at),
    }
    match delivery.state:
        case State.DELIVERED if _taken(case, delivery):
            text = f"Als afgeleverd aangemerkt {clock.at(delivery.last_at)}, door de beheerder: "
            text += "niet zeker was of de notificatie was afgeleverd."
            return Reason(Code.TAKEN_AS_DELIVERED, text, facts)
        case State.DELIVERED if _is_fetched(case):
            text = f"Opgehaald, en bevestigd {clock.to_millisecond(delivery.last_at)}."
            return Reason(Code.DELIVERED, text, facts)
        case State.DELIVERED if case.abonnement is not None and case.abonnement.is_amqp:
            text = f"In de wachtrij van de afnemer gezet {clock.to_millisecond(delivery.last_at)}, en door "
            return Reason(Code.DELIVERED, f"{text}RabbitMQ bevestigd.", facts | {"ms": delivery.ms})
        case State.DELIVERED:
            return Reason(
                Code.DELIVERED,
                f"Afgeleverd {clock.to_millisecond(delivery.last_at)}{_answer(delivery)}.",
                facts | {"status": delivery.status, "ms": delivery.ms},
            )
        case State.PENDING | State.RETRYING if (waits := _withheld(case, reader)) is not None:
            return Reason(waits.code, waits.text, {**facts, **waits.facts})
        case State.PENDING | State.RETRYING | State.RETURNING if case.abonnement is None:
            text = "Nog niet afgeleverd, en het abonnement is verwijderd."
            return Reason(Code.NOT_THERE_ANY_MORE, text, facts)
        case State.RETURNING if case.waits_for is not None:
            text = "Nog niet afgeleverd: wacht op een eerdere notificatie over hetzelfde hoofdObject "
            text += f"({case.waits_for})."
            earlier: dict[str, object] = {"earlier": str(case.waits_for)}
            return Reason(Code.WAITS_FOR_EARLIER, text, facts | earlier)
        case State.PENDING | State.RETURNING if _is_fetched(case):
            text = f"Nog niet opgehaald: klaar sinds {clock.bare(delivery.since)}.{_row(case)}"
            return Reason(Code.PENDING, text, facts | _row_facts(case))
        case State.PENDING if case.notificatie.unrouted and case.notificatie.batch:
            text = (
                f"Nog niet afgeleverd: deel van batch {case.notificatie.batch}; zij gaat naar de "
                "wachtrij zodra daar plaats is, na wat geen batch is."
            )
            return Reason(Code.UNROUTED, text, facts)
        case State.PENDING if case.notificatie.unrouted:
            text = (
                "Nog niet afgeleverd: RabbitMQ was er niet of bevestigde niet; de notificatie gaat zodra dat "
                "kan "
                "alsnog naar de wachtrij."
            )
            return Reason(Code.UNROUTED, text, facts)
        case State.PENDING:
            text = f"Nog niet afgeleverd: in de wachtrij sinds {clock.bare(delivery.since)}.{_row(case)}"
            return Reason(Code.PENDING, text, facts | _row_facts(case))
        case State.RETRYING:
            return Reason(Code.RETRYING, _retrying(case, delivery), facts | _last(case))
        case State.RETURNING:
            asked = bool(case.returned) and case.returned[-1].cause is Cause.OPERATOR
            why = "de beheerder vroeg om herhaling" if asked else "RabbitMQ was de notificatie kwijt"
            text = f"Nog niet afgeleverd: {why}; zij gaat opnieuw naar de wachtrij."
            return Reason(Code.RETURNING, text, facts | {"round": delivery.round})
        case State.STUCK:
            text = (
                f"Vastgelopen: {times(max(delivery.given, 1))} opnieuw in de wachtrij gezet, zonder uitkomst."
            )
            return Reason(Code.STUCK, f"{text} De beheerder moet ernaar kijken.", facts)
        case State.UNSURE:
            text = (
                "Onzeker: het grootboek is teruggezet van een oudere kopie, en de notificatie kan sindsdien "
                "zijn afgeleverd. De beheerder beslist."
            )
            return Reason(Code.UNSURE, text, facts)
        case State.UNDELIVERABLE:
            return Reason(Code.UNDELIVERABLE, _undeliverable(case, delivery), facts | _last(case))
        case State.NOT_WANTED if (into := consolidated_into(case.attempts)) is not None:
            text = (
                f"Niet apart afgeleverd: de nieuwere notificatie {into} over dezelfde resource kwam ervoor "
                "in de plaats (afleveroptie consolidate)."
            )
            return Reason(Code.CONSOLIDATED, text + _newest(case, into), facts | _newest_facts(case, into))
        case State.NOT_WANTED if (note := _no_event(case)) is not None:
            mapping, _, what = note.detail.partition(": ")
            text = f"Niet verzonden: {without_event(mapping, what)}"
            return Reason(Code.NO_EVENT, text, facts | {"mapping": mapping, "what": what})
        case State.NOT_WANTED:
            text = "Niet afgeleverd: het abonnement is gewijzigd en wil deze notificatie niet meer."
            return Reason(Code.NOT_WANTED, text, facts)
        case State.REMOVED if (taken := _taken_all_the_same(case)) is not None:
            text = (
                f"Door de beheerder geschrapt {clock.at(delivery.last_at)}, en toch afgeleverd "
                f"{clock.at(taken.at)}: poging {number(taken.number)} was toen al begonnen."
            )
            return Reason(Code.REMOVED, text, facts | {"deliveredAt": clock.utc(taken.at)})
        case State.REMOVED:
            text = f"Niet afgeleverd: {clock.at(delivery.last_at)} door de beheerder geschrapt."
            return Reason(Code.REMOVED, text, facts)


def consolidated_into(attempts: Sequence[Attempt]) -> str | None:
    """The notificatie that stands for one with these attempts."""
    last = attempts[-1] if attempts else None
    return last.detail if last is not None and last.kind == CONSOLIDATED else None


_STANDS = {
    State.PENDING: "moet nog afgeleverd worden",
    State.RETRYING: "is nog niet afgeleverd en wordt opnieuw geprobeerd",
    State.RETURNING: "moet nog afgeleverd worden",
    State.STUCK: "is vastgelopen",
    State.UNSURE: "is misschien afgeleverd: dat is onzeker",
    State.UNDELIVERABLE: "is onbestelbaar",
    State.NOT_WANTED: "is niet verzonden",
    State.REMOVED: "is door de beheerder geschrapt",
}


def _newest(case: Case, into: str) -> str:
    """A sentence with what became of the one that stands for it; "" when that is not known."""
    if (stands := case.stands) is None:
        return ""
    newest = str(stands.key.notificatie)
    which = "Die" if newest == into else f"Daarvoor kwam weer {newest}; die"
    at = case.clock.to_second(stands.last_at)
    became = f"is {at} afgeleverd" if stands.state is State.DELIVERED else _STANDS[stands.state]
    return f" {which} {became}."


def _newest_facts(case: Case, into: str) -> dict[str, object]:
    facts: dict[str, object] = {"into": into}
    if (stands := case.stands) is not None:
        facts |= {"newest": str(stands.key.notificatie), "newestState": stands.state.value}
    return facts


def _no_event(case: Case) -> Attempt | None:
    """The note that the notificatie becomes no CloudEvent for this abonnement."""
    return next((each for each in reversed(case.attempts) if each.kind == NO_EVENT), None)


def _is_fetched(case: Case) -> bool:
    """Whether the consumer fetches what is for this abonnement."""
    return case.abonnement is not None and case.abonnement.is_pull


def _taken(case: Case, delivery: Delivery) -> bool:
    """Whether it is delivered only because an operator said so."""
    return any(each.kind == TAKEN_AS_DELIVERED and each.at == delivery.last_at for each in case.attempts)


def _taken_all_the_same(case: Case) -> Attempt | None:
    """The attempt that succeeded although an operator had removed the delivery."""
    return next((each for each in case.attempts if each.kind == DELIVERED_ALL_THE_SAME), None)


def _answer(delivery: Delivery) -> str:
    """` bij poging 1 (status 204, 38 ms)`, as far as known."""
    known = [] if delivery.status is None else [f"status {delivery.status}"]
    if delivery.ms is not None:
        known.append(milliseconds(delivery.ms))
    attempt = f" bij poging {number(delivery.attempts)}" if delivery.attempts else ""
    return attempt + (f" ({', '.join(known)})" if known else "")


def _withheld(case: Case, reader: Reader) -> Reason | None:
    """Why nothing is sent to the abonnement now; None when it is active, or removed."""
    abonnement, clock = case.abonnement, case.clock
    if abonnement is None or abonnement.state is abonnementen.State.ACTIVE:
        return None
    if abonnement.hold is not None:
        hold = abonnement.hold
        since, probe = _of_seconds(hold.since), _of_seconds(hold.next_probe)
        why = held_because(abonnement.state_reason)
        due = clock.at(probe) if probe > clock.now else "zo dadelijk"
        text = f"Wacht: {what_is_down(abonnement, clock.bare(since))}{f' ({why})' if why else ''}."
        text += f"{_row(case)} Volgende proef {due}."
        return Reason(
            Code.HELD,
            text,
            {"heldSince": clock.utc(since), "nextProbe": clock.utc(probe), "why": why} | _row_facts(case),
        )
    why = suspended_because(abonnement.state_reason, reader)
    text = f"Wacht: het abonnement is stilgelegd{f' ({why})' if why else ''}.{_row(case)}"
    text += " Het gaat verder zodra de beheerder het hervat."
    return Reason(Code.SUSPENDED, text, {"why": why} | _row_facts(case))


def what_is_down(abonnement: abonnementen.Abonnement, since: str) -> str:
    """Why a held one gets nothing, as a clause; a consumer that reads RabbitMQ has no callback."""
    if abonnement.is_amqp:
        return f"de wachtrij in RabbitMQ neemt sinds {since} niets aan"
    return f"de callback werkt sinds {since} niet"


_GONE = "callback answered 410 (gone)"  # deliverer/attempting/decide.py


def suspended_because(reason: str, reader: Reader) -> str:
    """Why; the text of an operator is shown to operators only."""
    if reason == _GONE:
        return "de callback antwoordde met status 410"
    if reason == abonnementen.GIVEN:
        return (
            "het is van een andere applicatie geworden, die eerst zelf moet instellen wat de callback "
            "vraagt: een PATCH met auth"
        )
    return "door de beheerder" if reader is Reader.CONSUMER or reason == "by an operator" else reason


def _row(case: Case) -> str:
    """` Er wachten 5.447, deze is nummer 812.`, as far as known."""
    if case.place is None or not case.place.waiting:
        return ""
    waiting, which = case.place.waiting, case.place.number
    if waiting == 1:
        return " Er wacht verder niets."
    return f" Er wachten {number(waiting)}{'' if which is None else f', deze is nummer {number(which)}'}."


def _row_facts(case: Case) -> dict[str, object]:
    return {} if case.place is None else {"waiting": case.place.waiting, "number": case.place.number}


def _retrying(case: Case, delivery: Delivery) -> str:
    due = delivery.next_at
    then = "zo dadelijk" if due is None or due <= case.clock.now else case.clock.to_second(due)
    return f"Nog niet afgeleverd: {_failed(case, delivery)}. Volgende poging {then}.{_aside(case)}"


def _aside(case: Case) -> str:
    """That those behind it go on without it, where its abonnement has them in order."""
    options = None if case.abonnement is None else case.abonnement.options
    # Its first failed attempt since it was last sent again with all of them.
    first = next((each.at for each in reversed(case.attempts) if each.number == 1), None)
    if options is None or options.order is None or first is None:
        return ""
    aside = first + round(options.order.set_aside_after * 1000)
    if aside <= case.clock.now:
        when = case.clock.bare(aside)
        return f" Sinds {when} apart gezet: latere over hetzelfde hoofdObject wachten er niet meer op."
    return f" Latere over hetzelfde hoofdObject wachten erop, tot uiterlijk {case.clock.bare(aside)}."


def _failed(case: Case, delivery: Delivery) -> str:
    """`poging 3 van 9 gaf status 500`."""
    which = f"poging {number(delivery.attempts)}"
    if case.most_attempts is not None and case.most_attempts >= delivery.attempts:
        which += f" van {number(case.most_attempts)}"
    last = _last_attempt(case)
    if last is None:
        return f"{which} mislukte"
    if last.kind == "http_status" and last.status is not None:
        return f"{which} gaf status {last.status}"
    return f"{which} mislukte ({failure(last.kind, last.detail, last.status)})"


def _last_attempt(case: Case) -> Attempt | None:
    """The last attempt; probes do not count."""
    return next((each for each in reversed(case.attempts) if each.number), None)


def _last(case: Case) -> dict[str, object]:
    last = case.attempts[-1] if case.attempts else None
    return {} if last is None else {"class": last.kind, "status": last.status, "detail": last.detail}


def _undeliverable(case: Case, delivery: Delivery) -> str:
    begin = f"Onbestelbaar sinds {case.clock.bare(delivery.last_at)}: "
    match case.attempts[-1].kind if case.attempts else "":
        case "retention":
            return begin + "de notificatie wachtte langer dan de beheerder toestaat."
        case "budget":
            return begin + "voor dit abonnement wachtte meer dan de beheerder toestaat; dit was de oudste."
        case "abonnement_removed":
            return begin + "het abonnement is verwijderd."
        case "unknown_abonnement":
            return begin + "op het bericht staat niet voor welk abonnement het is."
        case "too_large":
            return begin + "RabbitMQ neemt een bericht van deze grootte niet meer aan."
    if _went_with_its_abonnement(case, delivery):
        return begin + "het abonnement is verwijderd."
    if not delivery.attempts:
        return begin + "er is geen poging gedaan."
    return begin + f"{_failed(case, delivery)}. Er komt vanzelf geen poging meer."


def _went_with_its_abonnement(case: Case, delivery: Delivery) -> bool:
    """Whether it became undeliverable with attempts left, because its abonnement was removed."""
    if case.removed is not None:
        return delivery.last_at >= case.removed
    return case.abonnement is None and delivery.attempts < (case.most_attempts or 1)


def _sent_again(case: Case, delivery: Delivery) -> Iterator[Reason]:
    """Why it was put into its queue more than once; nothing when it was not."""
    last = case.returned[-1] if case.returned else None
    facts: dict[str, object] = {"round": delivery.round}
    # The first round of a replay is 1, and RabbitMQ may never have had what was accepted without it.
    first = delivery.key.replay != ORIGINAL
    unrouted = [each for each in case.returned if each.cause is Cause.UNROUTED]
    sent = delivery.round + 1 - first - len(unrouted) - case.waited
    if sent <= 1:
        if unrouted:
            at = unrouted[-1].at
            when = case.clock.at(at)
            text = f"Aangenomen terwijl RabbitMQ niet bevestigde; {when} naar de wachtrij verzonden."
            if case.notificatie.batch:
                text = f"Deel van batch {case.notificatie.batch}; {when} naar de wachtrij verzonden."
            facts |= {"cause": Cause.UNROUTED.value, "causeAt": case.clock.utc(at)}
            yield Reason(Code.SENT_AGAIN, text, facts)
        return
    often = times(sent).capitalize()
    begin = f"{often} verzonden (zelfde webhook-id): "
    unsure = "niet zeker was dat de eerste was aangekomen"
    if last is None:
        yield Reason(Code.SENT_AGAIN, f"{begin}{unsure}.", facts)
        return
    facts |= {"cause": last.cause.value, "causeAt": case.clock.utc(last.at)}
    when = case.clock.at(last.at)
    if last.cause is Cause.OPERATOR:
        text = f"{begin}{when} heeft de beheerder om herhaling gevraagd."
    elif (lost := _LOST.get(last.cause)) is not None:
        text = f"{often} in de wachtrij gezet (zelfde webhook-id): {when} {lost}"
        # What looked lost may have been delivered by a deliverer whose outcome was not written.
        if before := [each for each in case.incomplete_since if (each.since or 0) <= last.at]:
            text += f"; {not_complete(case.clock, before)}"
        text += "."
    elif (lost := _NOT_SURE.get(last.cause)) is not None:
        text = f"{begin}{when} {lost}, en {unsure}."
    else:
        text = f"{begin}{unsure}."
    yield Reason(Code.SENT_AGAIN, text, facts)


def _of_seconds(seconds: float) -> int:
    return round(seconds * 1000)
