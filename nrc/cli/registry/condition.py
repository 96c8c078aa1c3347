"""How an abonnement is doing: its state, what waits for it, its last failure, its next probe."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.values import Backlog
from nrc.cli.connecting import opened_link, opened_registry
from nrc.cli.terminal import ids
from nrc.cli.terminal.output import age, moment, note
from router import names
from runtime.settings import Settings
from schemas.abonnement import Abonnement
from schemas.errors import BrokerUnavailable, LedgerError

if TYPE_CHECKING:
    from store.registry import LastFailure

ASK_TIMEOUT = 30.0  # seconds for RabbitMQ, which is asked about one queue after the other


@dataclass(frozen=True, slots=True)
class Condition:
    """One abonnement, and what is known of it now.

    waiting: notificaties that are in its queue, on their way there or in the hands of a deliverer; None when
    neither ledger nor RabbitMQ can be asked. retrying: those between two attempts, which are not in it; the
    first is due at next_retry. stuck: those that an operator has to look at. oldest: when the first of all
    these was accepted. size: bytes of their bodies. by_rabbitmq: waiting and oldest are what RabbitMQ has
    ready, since the ledger can't be read or has less: these were accepted by an older version. Moments are
    Unix seconds. same_as: another with the same callback, kanalen and filters.
    """

    abonnement: Abonnement
    waiting: int | None = None
    oldest: float | None = None
    size: int | None = None
    retrying: int = 0
    next_retry: float | None = None
    stuck: int = 0
    by_rabbitmq: bool = False
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
            "countedBy": None if self.waiting is None else "rabbitmq" if self.by_rabbitmq else "ledger",
            "lastError": {"at": moment(last.at), "detail": last.detail} if last else None,
            "sameAs": str(self.same_as) if self.same_as else None,
            "kanalen": [{"naam": group.naam, "filters": dict(group.filters)} for group in each.kanalen],
        }


async def conditions(settings: Settings) -> list[Condition]:
    """Every abonnement. When neither ledger nor RabbitMQ answers, without what these know, and a note."""
    async with opened_registry(settings) as opened:
        abonnementen = list(opened.catalogue.abonnementen.values())
        failures = await opened.registry.last_failures()
    backlogs = await ledger_backlogs(settings)
    queues = await _queues(settings, abonnementen, backlogs)
    same = _same(abonnementen)
    found = [
        replace(
            _condition(each, None if backlogs is None else backlogs.get(each.uuid, Backlog()), queues),
            last_failure=failures.get(each.uuid),
            same_as=same.get(each.uuid),
        )
        for each in abonnementen
    ]
    if backlogs is not None and (others := sum(each.by_rabbitmq for each in found)):
        note(f"{others} counted by RabbitMQ, which has more for them than the ledger knows of")
    return found


async def ledger_backlogs(settings: Settings) -> Mapping[UUID, Backlog] | None:
    """What is open of each abonnement; None where there is no ledger, or (with a note) none to be read."""
    from ledger.opening import ledger_file, ledger_of

    try:
        if not ledger_file(settings).exists():
            return None
        async with ledger_of(settings) as ledger:
            return await ledger.backlogs()
    except (LedgerError, OSError) as error:
        note(f"what waits for them is not known from the ledger: {error}")
        return None


def in_queue(backlog: Backlog) -> int:
    """How many are in its queue, on their way there or in the hands of a deliverer."""
    return backlog.count - backlog.retrying - backlog.stuck


@dataclass(frozen=True, slots=True)
class _Ready:
    """What is ready in a queue. oldest: when the first of these was accepted; asked for where it is shown."""

    messages: int
    oldest: datetime | None = None


def _condition(abonnement: Abonnement, backlog: Backlog | None, queues: Mapping[UUID, _Ready]) -> Condition:
    ready = queues.get(abonnement.uuid)
    if backlog is None:
        backlog, known = Backlog(), False
    else:
        known = ready is None or ready.messages <= in_queue(backlog)
    counted = Condition(
        abonnement,
        waiting=in_queue(backlog),
        oldest=None if backlog.oldest is None else backlog.oldest / 1000,
        size=backlog.size,
        retrying=backlog.retrying,
        next_retry=None if backlog.next_at is None else backlog.next_at / 1000,
        stuck=backlog.stuck,
    )
    if known:
        return counted
    return replace(
        counted,
        waiting=ready.messages if ready else None,
        oldest=ready.oldest.timestamp() if ready and ready.oldest else None,
        size=None,
        by_rabbitmq=True,
    )


def _same(abonnementen: Sequence[Abonnement]) -> dict[UUID, UUID]:
    """For each that has its callback, kanalen and filters in common with others: one of these."""
    alike: dict[object, list[UUID]] = defaultdict(list)
    for each in abonnementen:
        if each.kanalen:
            alike[each.callback_url, each.wants()].append(each.uuid)
    several = [uuids for uuids in alike.values() if len(uuids) > 1]
    return {uuid: uuids[1] if uuid == uuids[0] else uuids[0] for uuids in several for uuid in uuids}


async def _queues(
    settings: Settings, abonnementen: Sequence[Abonnement], backlogs: Mapping[UUID, Backlog] | None
) -> Mapping[UUID, _Ready]:
    """What is ready for each; the oldest where that is more than the ledger has."""
    from router.depth import depths
    from router.walk import oldest

    queues = {names.abonnement_queue(each.uuid): each.uuid for each in abonnementen}
    known = {} if backlogs is None else backlogs
    try:
        async with asyncio.timeout(ASK_TIMEOUT), opened_link(settings) as link:
            assert link.connection is not None  # noqa: S101 - opened
            found = {
                name: depth
                for name, depth in (await depths(link.connection, queues)).items()
                if depth is not None
            }
            more = {
                name: depth
                for name, depth in found.items()
                if depth.messages > in_queue(known.get(queues[name], Backlog()))
            }
            ages = await oldest(link.connection, more)
    except (BrokerUnavailable, TimeoutError) as error:
        if backlogs is None:
            reason = str(error) or f"RabbitMQ did not answer within {ASK_TIMEOUT:g} s"
            note(f"what waits for them is not shown: {reason}")
        return {}
    return {queues[name]: _Ready(depth.messages, ages.get(name)) for name, depth in found.items()}
