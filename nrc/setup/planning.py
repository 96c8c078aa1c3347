"""What is to be made, changed and removed so that the registry is as a setup file says. Writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from nrc.setup.checking import Checked
from nrc.setup.faults import Fault, Faults
from nrc.setup.kinds import abonnementen, alerts, applications, kanalen, mappings, users
from nrc.setup.kinds.step import Action, Known, Making, Step
from operating.passwords import Passwords
from runtime.settings import Settings

if TYPE_CHECKING:
    from router.catalogue import Catalogue
    from store.registry import Registry


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps, in the order in which they are carried out. not_taken: what of a foreign file has none."""

    steps: Sequence[Step]
    not_taken: Sequence[Fault] = ()

    @property
    def to_do(self) -> Sequence[Step]:
        """Those that change something."""
        return [step for step in self.steps if step.do is not None]

    def count(self, action: Action) -> int:
        """How many things this is done with."""
        return sum(step.action is action for step in self.steps)

    @property
    def waiting(self) -> int | None:
        """How many notificaties wait for abonnementen that are to be removed; None when not known."""
        found = [step.waiting for step in self.steps]
        return None if None in found else sum(each or 0 for each in found)


async def known(registry: Registry, catalogue: Catalogue, waiting: Mapping[UUID, int] | None) -> Known:
    """What the registry has. catalogue: refreshed. waiting: by abonnement, from the ledger."""
    return Known(
        {each.naam: each for each in catalogue.every_kanaal()},
        catalogue.applications,
        catalogue.everyone,
        await registry.users.every(),
        await registry.alerts.settings(),
        waiting,
        catalogue.mappings,
    )


async def planned(
    checked: Checked,
    now: Known,
    *,
    settings: Settings,
    prune: bool,
    roots: Sequence[str],
    passwords: Passwords,
) -> Plan:
    """The plan. roots: addresses of this API. Raises Faults with all that does not fit what there is."""
    making = Making(checked, now, settings, prune, roots, passwords)
    left = abonnementen.there_will_be(making)
    kanalen.plan(making)
    applications.plan(making)
    mappings.plan(making)
    abonnementen.plan(making, kanalen.there_will_be(making), applications.there_will_be(making))
    abonnementen.plan_removals(making)
    applications.plan_removals(making, left)
    kanalen.plan_removals(making, left)
    mappings.plan_removals(making, left)
    await users.plan(making)
    users.plan_removals(making)
    alerts.plan(making)
    if making.faults:
        raise Faults(checked.name, making.faults)
    return Plan(making.steps, making.not_taken)
