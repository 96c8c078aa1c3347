"""The states that an abonnement had since a notificatie was accepted: held, suspended, when and why. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from ledger.explaining.case import Case, Code, StateThen
from ledger.explaining.dutch import Clock, held_because, number
from ledger.explaining.fitting import Reader, Reason
from ledger.explaining.states import suspended_because
from schemas.abonnement import State
from store.registry import ChangedBy

ONE_BY_ONE = 2  # times that are told one by one
_ENDED = {
    ChangedBy.CALLBACK: "toen antwoordde de callback weer",
    ChangedBy.OPERATOR: "toen hervatte de beheerder het",
    ChangedBy.OWNER: "toen wijzigde de afnemer het",
}


def state_then(case: Case) -> StateThen | None:
    """The state when the notificatie was accepted; None when it is not known, or there was no abonnement."""
    received = case.notificatie.received
    return next(
        (
            each
            for each in reversed(case.states)
            if each.since <= received and (each.until is None or received < each.until)
        ),
        None,
    )


def told_state(state: StateThen | None, clock: Clock, *, reader: Reader = Reader.OPERATOR) -> str:
    """`actief sinds 01:46`, `vastgehouden sinds 23:02 (geen antwoord binnen de tijd)`, `niet bekend`."""
    if state is None:
        return "niet bekend"
    since = f"sinds {clock.bare(state.since)}"
    match state.state:
        case State.ACTIVE:
            return "actief" if state.by is ChangedBy.UNKNOWN else f"actief {since}"
        case State.HELD:
            return f"vastgehouden {since}{_bracketed(held_because(state.reason))}"
        case State.SUSPENDED:
            return f"stilgelegd {since}{_bracketed(suspended_because(state.reason, reader))}"


def withheld_since(case: Case, reader: Reader) -> Iterator[Reason]:
    """When nothing was sent to the abonnement between acceptance and outcome, in as far as that is over."""
    delivery = case.delivery
    if delivery is None:
        return
    received, end = case.notificatie.received, case.clock.now if delivery.is_open else delivery.last_at
    found = [
        (each, then)
        for each, then in pairwise(case.states)
        if each.state is not State.ACTIVE and received < (each.until or 0) and each.since < end
    ]
    if len(found) > ONE_BY_ONE:
        first, last = found[0][0], found[-1][0]
        when = f"Van {case.clock.bare(first.since)} tot {case.clock.bare(last.until or end)}"
        text = f"{when} werd het abonnement {number(len(found))} maal vastgehouden of stilgelegd."
        yield Reason(Code.WITHHELD_THEN, text, {"periods": _facts([each for each, _ in found], case.clock)})
        return
    for each, then in found:
        yield Reason(
            Code.WITHHELD_THEN,
            _told(each, then, case.clock, reader),
            {"periods": _facts([each], case.clock)},
        )


def _told(each: StateThen, then: StateThen, clock: Clock, reader: Reader) -> str:
    text = f"Van {clock.bare(each.since)} tot {clock.bare(then.since)} "
    if each.state is State.HELD:
        why = _bracketed(held_because(each.reason))
        text += f"werd het abonnement vastgehouden, want de callback werkte niet{why}"
    else:
        text += f"was het abonnement stilgelegd{_bracketed(suspended_because(each.reason, reader))}"
    ended = _ENDED.get(then.by) if then.state is State.ACTIVE else None
    return f"{text}; {ended}." if ended else f"{text}."


def _facts(periods: Sequence[StateThen], clock: Clock) -> list[dict[str, object]]:
    return [
        {"state": each.state.value, "since": clock.utc(each.since), "until": clock.utc(each.until)}
        for each in periods
    ]


def _bracketed(why: str) -> str:
    return f" ({why})" if why else ""
