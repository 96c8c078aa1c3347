"""The condition of an abonnement (operating/conditions.py), as commands show it."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from ledger.values import Backlog
from nrc.cli.connecting import opened_registry
from nrc.cli.terminal import ids
from nrc.cli.terminal.output import age, moment, note, shown
from operating.conditions import Condition, conditions_of
from runtime.settings import Settings
from schemas.abonnement import Abonnement
from schemas.delivery_options import given_of
from schemas.errors import LedgerError


def state_of(abonnement: Abonnement) -> str:
    """Its state in a few words."""
    if abonnement.hold is not None:
        return f"{abonnement.state} since {shown(abonnement.hold.since)}"
    return f"{abonnement.state} ({abonnement.state_reason})" if abonnement.state_reason else abonnement.state


def state_in_short(abonnement: Abonnement, now: float) -> str:
    """Its state, and for how long it has been held."""
    hold = abonnement.hold
    return f"{abonnement.state} {age(now - hold.since)}" if hold else str(abonnement.state)


def last_error(each: Condition) -> str:
    """Its last failure and when that was; "" when there was none."""
    last = each.last_failure
    return f"{last.detail} ({shown(last.at)})" if last else ""


def next_probe(abonnement: Abonnement, *, waiting: int | None = None) -> str:
    """When it is probed; "" when it is not held. waiting: how much is in its queue, where that is known."""
    hold = abonnement.hold
    if hold is None:
        return ""
    return "with the next notificatie" if waiting == 0 else shown(hold.next_probe)


def remark(each: Condition) -> str:
    """What is probably a mistake or a fault: no kanalen, stuck ones, or all twice; "" when none."""
    if not each.abonnement.kanalen:
        return "no kanalen"
    if each.stuck:
        return f"{each.stuck} stuck"
    return f"same as {ids.short(each.same_as)}" if each.same_as else ""


def facts(condition: Condition) -> dict[str, object]:
    """The same for scripts."""
    each, last = condition.abonnement, condition.last_failure
    return {
        "uuid": str(each.uuid),
        "clientId": each.client_id,
        "callbackUrl": each.callback_url,
        "state": each.state,
        "stateReason": each.state_reason,
        "heldSince": moment(each.hold.since) if each.hold else None,
        "probes": each.hold.probes if each.hold else None,
        "nextProbe": moment(each.hold.next_probe) if each.hold else None,
        "waiting": condition.waiting,
        "oldest": moment(condition.oldest) if condition.oldest else None,
        "bytes": condition.size,
        "retrying": condition.retrying,
        "nextRetry": moment(condition.next_retry) if condition.next_retry else None,
        "stuck": condition.stuck,
        "lastError": {"at": moment(last.at), "detail": last.detail} if last else None,
        "sameAs": str(condition.same_as) if condition.same_as else None,
        "options": given_of(each.options),
        "kanalen": [{"naam": group.naam, "filters": dict(group.filters)} for group in each.kanalen],
    }


async def conditions(settings: Settings) -> list[Condition]:
    """Every abonnement. When the ledger can't be read, without what that knows, and with a note."""
    async with opened_registry(settings) as opened:
        abonnementen = list(opened.catalogue.everyone.values())
        failures = await opened.registry.last_failures()
    return conditions_of(abonnementen, failures, await ledger_backlogs(settings))


async def ledger_backlogs(settings: Settings) -> Mapping[UUID, Backlog] | None:
    """What is open of each abonnement; None where there is no ledger, or (with a note) none to be read."""
    from ledger.opening import ledger_is_there, ledger_of

    try:
        if not ledger_is_there(settings):
            note("what waits for them is not known: there is no ledger yet")
            return None
        async with ledger_of(settings) as ledger:
            return await ledger.backlogs()
    except (LedgerError, OSError) as error:
        note(f"what waits for them is not known from the ledger: {error}")
        return None
