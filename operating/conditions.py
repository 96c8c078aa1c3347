"""How abonnementen are doing: their state, what waits for them, their last failure. Only looks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.values import Backlog
from schemas.abonnement import Abonnement

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
    def open(self) -> int:
        """All that is still to be delivered, as far as known."""
        return (self.waiting or 0) + self.retrying + self.stuck


def conditions_of(
    abonnementen: Sequence[Abonnement],
    failures: Mapping[UUID, LastFailure],
    backlogs: Mapping[UUID, Backlog] | None,
) -> list[Condition]:
    """Each of these. backlogs: None when the ledger can't be asked."""
    same = _same(abonnementen)
    return [
        _condition(
            each,
            None if backlogs is None else backlogs.get(each.uuid, Backlog()),
            failure=failures.get(each.uuid),
            same_as=same.get(each.uuid),
        )
        for each in abonnementen
    ]


def _condition(
    abonnement: Abonnement, backlog: Backlog | None, *, failure: LastFailure | None, same_as: UUID | None
) -> Condition:
    if backlog is None:
        return Condition(abonnement, last_failure=failure, same_as=same_as)
    return Condition(
        abonnement,
        waiting=backlog.in_queue,
        oldest=None if backlog.oldest is None else backlog.oldest / 1000,
        size=backlog.size,
        retrying=backlog.retrying,
        next_retry=None if backlog.next_at is None else backlog.next_at / 1000,
        stuck=backlog.stuck,
        last_failure=failure,
        same_as=same_as,
    )


def _same(abonnementen: Sequence[Abonnement]) -> dict[UUID, UUID]:
    """For each that has its callback, kanalen and filters in common with others: one of these."""
    alike: dict[object, list[UUID]] = defaultdict(list)
    for each in abonnementen:
        if each.kanalen and not each.is_pull:
            alike[each.callback_url, each.wants()].append(each.uuid)
    several = [uuids for uuids in alike.values() if len(uuids) > 1]
    return {uuid: uuids[1] if uuid == uuids[0] else uuids[0] for uuids in several for uuid in uuids}
