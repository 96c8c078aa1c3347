"""E1 and E2: whether a delivery whose outcome does not come is lost. Reads, and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.model.rules import BACKOFF, DEAD, E1_AGO, E1_AHEAD, E2_APART, SETTLE
from tests.model.system.broker import Key
from tests.model.system.merge import Row
from tests.model.system.world import PULLED, World


@dataclass
class Looks:
    """When each queue was seen with nothing ready, without a look in between that saw something."""

    empty: dict[str, list[int]] = field(default_factory=dict)

    def look(self, world: World) -> None:
        """Asks for every queue."""
        for name in world.registry.abonnementen:
            as_empty = name in PULLED and not world.rules.pulled_not_judged
            if world.broker.look(name) == 0 or as_empty:
                self.empty.setdefault(name, []).append(world.clock)
            else:
                self.empty.pop(name, None)

    def forget(self) -> None:
        """Looks of before a silence prove nothing."""
        self.empty.clear()


def in_hands(world: World) -> set[Key]:
    """What live deliverers say that they hold."""
    beats = world.ledger.beats.values()
    return {key for at, keys in beats if world.clock - at <= DEAD for key in keys}


def last_heard(world: World) -> int:
    """Until when every live deliverer has told what it holds and written what became of the rest."""
    return min((at for at, _ in world.ledger.beats.values() if world.clock - at <= DEAD), default=world.clock)


def is_lost(world: World, row: Row, looks: Looks, hands: set[Key], *, held: bool) -> bool:
    """Whether E1 or E2 says that an open row's message is lost, and it is time to act on it."""
    rules, ledger = world.rules, world.ledger
    if held and rules.held_gives_nothing_back:
        return False
    if rules.judging_waits_for_outcomes and world.clock < ledger.back_since + SETTLE:
        return False
    if rules.e2_needs_hands and row.key in hands:
        return False
    return is_due(world, row) and (overtaken(world, row) or emptied(world, row, looks))


def is_due(world: World, row: Row) -> bool:
    """Whether the pause before the next give-back of this row is over."""
    pause = BACKOFF[min(row.given, len(BACKOFF) - 1)]
    return world.clock >= row.since + pause


def overtaken(world: World, row: Row) -> bool:
    """E1: queues are FIFO, and a first attempt of something that came clearly later has long ended."""
    ahead, ago = (E1_AHEAD, E1_AGO) if world.rules.e1_margin else (0, 0)
    firsts = world.ledger.firsts.get(row.ab, [])
    return any(since > row.since + ahead and end <= world.clock - ago for since, end in firsts)


def emptied(world: World, row: Row, looks: Looks) -> bool:
    """E2: nothing ready at two looks, both after it went into its queue."""
    heard = last_heard(world) if world.rules.e2_hears_after_look else world.clock + 1
    after = [at for at in looks.empty.get(row.ab, []) if row.since < at < heard]
    if not world.rules.e2_two_looks:
        return bool(after)
    return bool(after) and after[-1] - after[0] >= E2_APART
