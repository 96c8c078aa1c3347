"""Why an abonnement got a notificatie, gets it later, or does not get it.

Pure: everything that is known comes in as a Case, and nothing is looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.explaining.case import Case, Code, Explanation, Former
from ledger.explaining.dutch import Clock, not_complete
from ledger.explaining.events import before_sending
from ledger.explaining.fitting import Fit, Reader, Reason, fit
from ledger.explaining.state_then import state_then, withheld_since
from ledger.explaining.states import of_delivery
from ledger.values import Delivery, Incomplete, State
from schemas.abonnement import FilterGroup

_WAITS = frozenset({State.PENDING, State.RETRYING, State.RETURNING})


def explain(case: Case, *, reader: Reader = Reader.OPERATOR) -> Explanation:
    """Why this abonnement got this notificatie, gets it later, or does not get it."""
    then = _then(case)
    fits = None if then.kanalen is None else _fit_of(case, then.kanalen, reader)
    if case.delivery is not None:
        reasons = [*of_delivery(case, case.delivery, reader), *withheld_since(case, reader)]
        if (no_event := _no_event(case, case.delivery)) is not None:
            reasons.append(no_event)
        if fits is not None and fits.ignored:
            reasons.append(fits.reason)
    else:
        reasons = [_without_delivery(case, fits, forgotten=then.forgotten)]
    dropped = case.delivery is None or reasons[0].code == Code.NOT_WANTED
    if then.former is not None and dropped:
        reasons.append(_other_filter(case, then.former))
    return Explanation(tuple(reasons), fits, then.kanalen, state_then(case))


def _no_event(case: Case, delivery: Delivery) -> Reason | None:
    """Why one that waits will not be sent as the CloudEvent that its abonnement asks for."""
    if case.abonnement is None or delivery.state not in _WAITS:
        return None
    of = case.notificatie
    message = {"kanaal": of.kanaal, "resource": of.resource, "actie": of.actie}
    return before_sending(case.abonnement, message, case.mappings)


def unknown(
    clock: Clock,
    *,
    oldest: int | None,
    incomplete: Sequence[Incomplete] = (),
    by: str = "dit hoofdObject",
) -> Reason:
    """The explanation of a notificatie that the ledger does not have.

    oldest: when the oldest that it has was accepted; None when it has none. by: what was looked for.
    """
    if oldest is None:
        text = "Onbekend: het grootboek is leeg"
    else:
        text = f"Onbekend: hier is geen notificatie met {by} aangenomen sinds {clock.bare(oldest)}"
    if incomplete:
        text += f"; {not_complete(clock, incomplete)}"
    facts = {
        "oldest": clock.utc(oldest),
        "incomplete": [
            {"since": clock.utc(each.since), "until": clock.utc(each.until), "count": each.count}
            for each in incomplete
        ],
    }
    return Reason(Code.UNKNOWN, f"{text}.", facts)


@dataclass(frozen=True, slots=True)
class _Then:
    """The kanalen of an abonnement when a notificatie was accepted; None when they are not known.

    former: the same, when they have changed since. forgotten: it existed, but its kanalen of then are not
    kept any more.
    """

    kanalen: tuple[FilterGroup, ...] | None = None
    former: Former | None = None
    forgotten: bool = False


def _then(case: Case) -> _Then:
    received = case.notificatie.received
    for each in sorted(case.former, key=lambda each: each.until):
        if each.since is not None and received < each.since:
            return _Then(forgotten=True)
        if received < each.until:
            return _Then(each.kanalen, None if each.until == case.removed else each)
    if case.abonnement is None:
        return _Then()
    if case.since is not None and received < case.since:
        return _Then(forgotten=True)
    return _Then(case.abonnement.routed)


def _fit_of(case: Case, kanalen: tuple[FilterGroup, ...], reader: Reader) -> Fit | None:
    """What the filters say; None when a filter would have to be compared and the body is gone."""
    naam = case.notificatie.kanaal
    filters = None if case.kanaal is None else case.kanaal.filters
    asks = any(group.naam == naam and group.filters for group in kanalen)
    if case.kenmerken is None and asks:
        return None
    return fit(kanalen, naam, case.kenmerken or {}, filters=filters, reader=reader)


def _without_delivery(case: Case, fits: Fit | None, *, forgotten: bool) -> Reason:
    """Why there is no delivery."""
    received = case.notificatie.received
    if case.made is not None and received < case.made:
        made, came = case.clock.apart(case.made, received)
        text = f"Het abonnement bestond toen nog niet: gemaakt {made}, de notificatie kwam {came}."
        return Reason(
            Code.NOT_THERE_YET,
            text,
            {"made": case.clock.utc(case.made), "received": case.clock.utc(received)},
        )
    if case.removed is not None and case.removed <= received:
        removed, came = case.clock.apart(case.removed, received)
        text = f"Het abonnement bestond toen niet meer: verwijderd {removed}, de notificatie kwam {came}."
        return Reason(
            Code.NOT_THERE_ANY_MORE,
            text,
            {"removed": case.clock.utc(case.removed), "received": case.clock.utc(received)},
        )
    if case.abonnement is None and not case.former:
        return Reason(Code.NO_SUCH_ABONNEMENT, "Onbekend: een abonnement met dit UUID is hier niet (meer).")
    if forgotten:
        text = "Niet te zeggen: wat dit abonnement toen vroeg, wordt niet meer bewaard."
        return Reason(Code.KANALEN_FORGOTTEN, text)
    if fits is None:
        text = (
            "Niet te zeggen: de inhoud van deze notificatie wordt niet meer bewaard, en voor dit abonnement "
            "is geen aflevering genoteerd."
        )
        return Reason(Code.BODY_GONE, text)
    if not fits.matches:
        return fits.reason
    text = f"{fits.reason.text} Toch is voor dit abonnement geen aflevering genoteerd"
    if case.incomplete:
        text += f"; {not_complete(case.clock, case.incomplete)}"
    return Reason(Code.NOT_RECORDED, f"{text}.", fits.reason.facts)


def _other_filter(case: Case, former: Former) -> Reason:
    """Says that other filters applied when it was accepted."""
    until = case.clock.bare(former.until)
    groups = [group for group in former.kanalen if group.naam == case.notificatie.kanaal]
    if not groups:
        text = f"Toen was het niet op dit kanaal geabonneerd (tot {until})."
    elif not any(group.filters for group in groups):
        text = f"Toen gold geen filter (tot {until})."
    else:
        asked = [", ".join(f"{name} {value}" for name, value in group.filters) for group in groups]
        text = f"Toen gold een ander filter ({' of '.join(filter(None, asked))}, tot {until})."
    facts = {
        "until": case.clock.utc(former.until),
        "kanalen": [{"naam": group.naam, "filters": dict(group.filters)} for group in former.kanalen],
    }
    return Reason(Code.OTHER_FILTER_THEN, text, facts)
