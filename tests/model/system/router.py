"""The router's part: finds what is missing in RabbitMQ, notes a gap, and declares it again. In that order.

`first` and `second` are the two halves of a repair; the process may die between them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.model.system.ledger import Away, Gap
from tests.model.system.world import World


@dataclass
class Repair:
    """`untold`: gaps that are not written yet; only without the rule `gap_before_repair`."""

    world: World
    untold: list[Gap] = field(default_factory=list)

    def missing(self) -> list[str | None]:
        """Queues that the registry asks for and RabbitMQ lacks, and None for the exchange."""
        world, broker = self.world, self.world.broker
        if not broker.up:
            return []
        active = [name for name, a in world.registry.abonnementen.items() if not (a.removed or a.is_pull)]
        found: list[str | None] = [name for name in active if name not in broker.queues]
        return found if broker.exchange else [None, *found]

    def first(self) -> None:
        """Opens a gap for each thing that is missing. Without the rule: declares it, and remembers."""
        now = self.world.clock
        new = [Gap(ab, now) for ab in self.missing() if not self.opened(ab)]
        if self.world.rules.gap_before_repair:
            if self.world.ledger.up:
                self.world.ledger.gaps.extend(new)
            return
        for gap in new:
            self.declare(gap.ab)
            gap.closed = now
        self.untold.extend(new)

    def second(self) -> None:
        """Declares again what has a gap, and closes that. Without the rule: writes the gaps."""
        ledger, now = self.world.ledger, self.world.clock
        try:
            ledger.check()
        except Away:
            return
        if not self.world.rules.gap_before_repair:
            ledger.gaps.extend(self.untold)
            self.untold.clear()
            return
        if not self.world.broker.up:
            return
        for gap in [gap for gap in ledger.gaps if gap.closed is None]:
            if self.declare(gap.ab):
                gap.closed = now
                self.world.excuse_in(gap)

    def opened(self, ab: str | None) -> bool:
        return any(gap.ab == ab and gap.closed is None for gap in self.world.ledger.gaps)

    def declare(self, ab: str | None) -> bool:
        """True when all of it stands. An exchange comes first, and its bindings in a step of their own."""
        world, broker = self.world, self.world.broker
        if ab is None and not broker.exchange:
            broker.exchange = True
            return not world.rules.gap_before_repair and self.declare(None)
        names = [ab] if ab is not None else list(broker.queues)
        for name in names:
            if not world.registry.abonnementen[name].removed:
                world.declare(name)
        return True

    def crash(self) -> None:
        """The process dies; what it had not written is gone."""
        self.untold.clear()
