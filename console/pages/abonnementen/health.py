"""How an abonnement is doing, in Dutch words and as a rank by which lists are sorted. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from ledger.explaining.dutch import Clock, held_because, number
from ledger.explaining.fitting import Reader
from ledger.explaining.states import suspended_because
from ledger.values import State as Delivery
from operating.conditions import Condition
from operating.status.attention import LONG
from schemas.abonnement import Abonnement, State

BADGES = {
    State.ACTIVE: ("safe", "actief"),
    State.HELD: ("warning", "vastgehouden"),
    State.SUSPENDED: ("danger", "stilgelegd"),
}
"""How the state of an abonnement is told: the kind of its badge, and its text."""
_FAILED = (Delivery.RETRYING, Delivery.UNDELIVERABLE)


class Rank(IntEnum):
    """What needs attention, the most urgent first."""

    SUSPENDED = 0
    """With something waiting."""
    STUCK = 1
    HELD = 2
    UNDELIVERABLE = 3
    LATE = 4
    FAILING = 5
    """It is tried again by itself, so nobody has to do anything."""
    IDLE = 6
    """Suspended, and nothing waits."""
    WELL = 7


@dataclass(frozen=True, slots=True)
class LastHour:
    """Attempts of the last hour."""

    delivered: int = 0
    failed: int = 0

    @property
    def rate(self) -> str:
        """How many succeeded, in percent; "" when there were none. Never 100 % when one failed."""
        total = self.delivered + self.failed
        if not total:
            return ""
        percent = 100 * self.delivered / total
        if self.failed and percent > 99.9:
            return "99,9 %"
        return f"{percent:.1f} %".replace(".", ",").replace(",0 ", " ")


@dataclass(frozen=True, slots=True)
class Health:
    """How one is doing. since: of its state, Unix seconds. undeliverable: notificaties."""

    condition: Condition
    last_hour: LastHour
    undeliverable: int = 0
    since: float | None = None

    @property
    def abonnement(self) -> Abonnement:
        """Which it is."""
        return self.condition.abonnement

    @property
    def badge(self) -> tuple[str, str]:
        """Kind and text of its badge."""
        return BADGES[self.abonnement.state]


def last_hour_of(came_to: Mapping[Delivery, int]) -> LastHour:
    """Of what was counted for an abonnement."""
    failed = sum(came_to.get(state, 0) for state in _FAILED)
    return LastHour(came_to.get(Delivery.DELIVERED, 0), failed)


def rank_of(health: Health, *, now: float) -> Rank:
    """How urgent it is. now: Unix seconds."""
    each = health.condition
    match each.abonnement.state:
        case State.SUSPENDED:
            return Rank.SUSPENDED if each.open else Rank.IDLE
        case State.HELD:
            return Rank.STUCK if each.stuck else Rank.HELD
    if each.stuck:
        return Rank.STUCK
    if health.undeliverable:
        return Rank.UNDELIVERABLE
    if each.oldest is not None and now - each.oldest > LONG:
        return Rank.LATE
    return Rank.FAILING if each.retrying else Rank.WELL


def kind_of(health: Health, rank: Rank) -> str:
    """The kind of the box in which `sentence` stands."""
    match health.abonnement.state:
        case State.SUSPENDED:
            return "error"
        case State.HELD:
            return "warning"
    return "ok" if rank in (Rank.WELL, Rank.FAILING) else "warning"


def note_of(health: Health, rank: Rank) -> str:
    """What its badge does not say; "" when that is all."""
    each = health.condition
    if each.stuck:
        return f"{number(each.stuck)} vastgelopen"
    if health.undeliverable:
        return f"{number(health.undeliverable)} onbestelbaar"
    if not each.abonnement.kanalen:
        return "zonder kanalen"
    if rank is Rank.FAILING:
        return "met mislukte pogingen"
    if rank is Rank.LATE:
        return "loopt achter"
    return "zelfde als een ander" if each.same_as else ""


def sentence(health: Health, *, now: float) -> str:
    """Its state in a whole sentence or two, with what is next. now: Unix seconds."""
    each, clock = health.abonnement, Clock(round(now * 1000))
    if each.hold is not None:
        since, probe = round(each.hold.since * 1000), round(each.hold.next_probe * 1000)
        why = held_because(each.state_reason)
        what = "De wachtrij in RabbitMQ" if each.is_amqp else "De callback"
        text = f"{what} neemt sinds {clock.bare(since)} niets aan{f' ({why})' if why else ''}. "
        text += "Er wordt niets afgeleverd; alles blijft bewaard. "
        if not health.condition.open:
            return f"{text}Bij de volgende notificatie wordt de callback geprobeerd."
        due = clock.at(probe) if each.hold.next_probe > now else "zo dadelijk"
        return f"{text}De callback wordt {due} weer geprobeerd, en zodra dat lukt, gaat alles vanzelf verder."
    if each.state is State.SUSPENDED:
        why = suspended_because(each.state_reason, Reader.OPERATOR)
        begin = "" if health.since is None else f" sinds {clock.bare(round(health.since * 1000))}"
        return (
            f"Het abonnement ligt{begin} stil{f' ({why})' if why else ''}. Er wordt niets afgeleverd; alles "
            "blijft bewaard, totdat iemand het hervat."
        )
    if health.condition.stuck:
        return (
            "Het abonnement is actief, maar van sommige notificaties is niet duidelijk of ze aankwamen. "
            "Zij wachten op een besluit: nu opnieuw verzenden, of schrappen."
        )
    if health.undeliverable:
        some = health.undeliverable
        which = "1 notificatie is" if some == 1 else f"{number(some)} notificaties zijn"
        rest = " Wat verder mislukte, wordt vanzelf opnieuw geprobeerd." if health.condition.retrying else ""
        return (
            f"Het abonnement is actief, maar {which} onbestelbaar: daarvoor komt vanzelf geen poging meer. "
            f"Verzend ze opnieuw zodra de callback het doet, of schrap ze.{rest}"
        )
    if health.condition.retrying:
        return "Het abonnement is actief. Wat mislukte, wordt vanzelf opnieuw geprobeerd."
    if not each.kanalen:
        return "Het abonnement is actief, maar zonder kanalen, dus het krijgt niets."
    return "Het abonnement is actief: wat ervoor komt, wordt meteen afgeleverd."
