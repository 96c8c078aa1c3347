"""How an abonnement is doing: its state, what waits for it, its last failure, its next probe."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.values import Backlog
from nrc.cli.connecting import opened_registry
from nrc.cli.terminal import ids
from nrc.cli.terminal.output import age, moment, note
from runtime.settings import Settings
from schemas.abonnement import Abonnement
from schemas.errors import LedgerError

if TYPE_CHECKING:
    from store.registry import LastFailure


@dataclass(frozen=True, slots=True)
class Condition:
    """One abonnement, and what is known of it now.

    waiting: notificaties that are in its queue, on their way there or in the hands of a deliverer; None when
    the ledger can't be asked. retrying: those between two attempts, which are not in it; the first is due at
    next_retry. stuck: those that an operator has to look at. oldest: when the first of all these was
    accepted. size: bytes of their bodies. Moments are Unix seconds. same_as: another with the same callback,
    kanalen and filters.
    """

    abonnement: Abonnement
    waiting: int | None = None
    oldest: float | None = None
    size: int | None = None
    retrying: int = 0
    next_retry: float | None = None
    stuck: int = 0
    last_failure: LastFailure | None = None
    same_as: UUID | None = None

    @property
    def state(self) -> str:
        """Its state in a few words."""
        each = self.abonnement
        if each.hold is not None:
            return f"{each.state} since {moment(each.hold.since)}"
        return f"{each.state} ({each.state_reason})" if each.state_reason else str(each.state)

    def state_in_short(self, now: float) -> str:
        """Its state, and for how long it has been held."""
        each = self.abonnement
        return f"{each.state} {age(now - each.hold.since)}" if each.hold else str(each.state)

    @property
    def last_error(self) -> str:
        """Its last failure and when that was; "" when there was none."""
        last = self.last_failure
        return f"{last.detail} ({moment(last.at)})" if last else ""

    @property
    def next_probe(self) -> str:
        """When it is probed; "" when it is not held."""
        hold = self.abonnement.hold
        if hold is None:
            return ""
        return "with the next notificatie" if self.waiting == 0 else moment(hold.next_probe)

    @property
    def remark(self) -> str:
        """What is seldom meant: no kanalen, stuck notificaties, or everything twice; "" when none."""
        if not self.abonnement.kanalen:
            return "no kanalen"
        if self.stuck:
            return f"{self.stuck} stuck"
        return f"same as {ids.short(self.same_as)}" if self.same_as else ""

    def facts(self) -> dict[str, object]:
        """The same for scripts."""
        each, last = self.abonnement, self.last_failure
        return {
            "uuid": str(each.uuid),
            "clientId": each.client_id,
            "callbackUrl": each.callback_url,
            "state": each.state,
            "stateReason": each.state_reason,
            "heldSince": moment(each.hold.since) if each.hold else None,
            "probes": each.hold.probes if each.hold else None,
            "nextProbe": moment(each.hold.next_probe) if each.hold else None,
            "waiting": self.waiting,
            "oldest": moment(self.oldest) if self.oldest else None,
            "bytes": self.size,
            "retrying": self.retrying,
            "nextRetry": moment(self.next_retry) if self.next_retry else None,
            "stuck": self.stuck,
            "lastError": {"at": moment(last.at), "detail": last.detail} if last else None,
            "sameAs": str(self.same_as) if self.same_as else None,
            "kanalen": [{"naam": group.naam, "filters": dict(group.filters)} for group in each.kanalen],
        }


async def conditions(settings: Settings) -> list[Condition]:
    """Every abonnement. When the ledger can't be read, without what that knows, and with a note."""
    async with opened_registry(settings) as opened:
        abonnementen = list(opened.catalogue.abonnementen.values())
        failures = await opened.registry.last_failures()
    return combined(abonnementen, failures, await ledger_backlogs(settings))


def combined(
    abonnementen: Sequence[Abonnement],
    failures: Mapping[UUID, LastFailure],
    backlogs: Mapping[UUID, Backlog] | None,
) -> list[Condition]:
    """The condition of each. backlogs: of the ledger; None when that can't be asked."""
    same = _same(abonnementen)
    return [
        replace(
            _condition(each, None if backlogs is None else backlogs.get(each.uuid, Backlog())),
            last_failure=failures.get(each.uuid),
            same_as=same.get(each.uuid),
        )
        for each in abonnementen
    ]


async def ledger_backlogs(settings: Settings) -> Mapping[UUID, Backlog] | None:
    """What is open of each abonnement; None where there is no ledger, or (with a note) none to be read."""
    from ledger.opening import ledger_file, ledger_of

    try:
        if not ledger_file(settings).exists():
            note("what waits for them is not known: there is no ledger yet")
            return None
        async with ledger_of(settings) as ledger:
            return await ledger.backlogs()
    except (LedgerError, OSError) as error:
        note(f"what waits for them is not known from the ledger: {error}")
        return None


def _condition(abonnement: Abonnement, backlog: Backlog | None) -> Condition:
    if backlog is None:
        return Condition(abonnement)
    return Condition(
        abonnement,
        waiting=backlog.in_queue,
        oldest=None if backlog.oldest is None else backlog.oldest / 1000,
        size=backlog.size,
        retrying=backlog.retrying,
        next_retry=None if backlog.next_at is None else backlog.next_at / 1000,
        stuck=backlog.stuck,
    )


def _same(abonnementen: Sequence[Abonnement]) -> dict[UUID, UUID]:
    """For each that has its callback, kanalen and filters in common with others: one of these."""
    alike: dict[object, list[UUID]] = defaultdict(list)
    for each in abonnementen:
        if each.kanalen:
            alike[each.callback_url, each.wants()].append(each.uuid)
    several = [uuids for uuids in alike.values() if len(uuids) > 1]
    return {uuid: uuids[1] if uuid == uuids[0] else uuids[0] for uuids in several for uuid in uuids}
