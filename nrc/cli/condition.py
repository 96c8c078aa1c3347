"""How an abonnement is doing: its state, what waits for it, its last failure, its next probe."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from nrc.cli import ids
from nrc.cli.reaching import opened_link, opened_registry
from nrc.cli.showing import age, moment, note
from router import names
from runtime.settings import Settings
from schemas.abonnement import Abonnement
from schemas.errors import BrokerUnavailable

if TYPE_CHECKING:
    from store.registry import LastFailure, Retrying


@dataclass(frozen=True, slots=True)
class Condition:
    """One abonnement, and what is known of it now.

    waiting: notificaties that are ready in its queue; None when that is not there or can't be asked. oldest:
    when the first of these was accepted. retrying: those between two attempts, which are not in it; None when
    there are none. same_as: another with the same callback, kanalen and filters.
    """

    abonnement: Abonnement
    waiting: int | None = None
    oldest: datetime | None = None
    last_failure: LastFailure | None = None
    retrying: Retrying | None = None
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
        """What is seldom meant: no kanalen, or everything twice; "" when neither."""
        if not self.abonnement.kanalen:
            return "no kanalen"
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
            "oldest": moment(self.oldest.timestamp()) if self.oldest else None,
            "retrying": self.retrying.count if self.retrying else 0,
            "nextRetry": moment(self.retrying.next_due) if self.retrying else None,
            "lastError": {"at": moment(last.at), "detail": last.detail} if last else None,
            "sameAs": str(self.same_as) if self.same_as else None,
            "kanalen": [{"naam": group.naam, "filters": dict(group.filters)} for group in each.kanalen],
        }


async def conditions(settings: Settings) -> list[Condition]:
    """Every abonnement. When RabbitMQ can't be reached, without what only that knows, and with a note."""
    async with opened_registry(settings) as opened:
        abonnementen = list(opened.catalogue.abonnementen.values())
        failures = await opened.registry.last_failures()
        retrying = await opened.registry.retrying()
    waiting, since = await _queues(settings, abonnementen)
    same = _same(abonnementen)
    return [
        Condition(
            each,
            waiting=waiting.get(each.uuid),
            oldest=since.get(each.uuid),
            last_failure=failures.get(each.uuid),
            retrying=retrying.get(each.uuid),
            same_as=same.get(each.uuid),
        )
        for each in abonnementen
    ]


def _same(abonnementen: Sequence[Abonnement]) -> dict[UUID, UUID]:
    """For each that has its callback, kanalen and filters in common with others: one of these."""
    alike: dict[object, list[UUID]] = defaultdict(list)
    for each in abonnementen:
        if each.kanalen:
            alike[each.callback_url, each.wants()].append(each.uuid)
    several = [uuids for uuids in alike.values() if len(uuids) > 1]
    return {uuid: uuids[1] if uuid == uuids[0] else uuids[0] for uuids in several for uuid in uuids}


async def _queues(
    settings: Settings, abonnementen: Sequence[Abonnement]
) -> tuple[Mapping[UUID, int], Mapping[UUID, datetime]]:
    """How many wait for each, and the moment of the oldest of these."""
    from router.depth import depths
    from router.walk import oldest

    queues = {names.abonnement_queue(each.uuid): each for each in abonnementen}
    try:
        async with opened_link(settings) as link:
            assert link.connection is not None  # noqa: S101 - opened
            found = await depths(link.connection, queues)
            full = {name: depth for name, depth in found.items() if depth is not None and depth.messages}
            ages = await oldest(link.connection, full)
    except BrokerUnavailable as error:
        note(f"what waits for them is not shown: {error}")
        return {}, {}
    waiting = {queues[name].uuid: depth.messages for name, depth in found.items() if depth is not None}
    return waiting, {queues[name].uuid: at for name, at in ages.items()}
