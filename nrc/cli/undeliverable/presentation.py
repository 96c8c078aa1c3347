"""Shows a delivery that was not made (yet): where it is, and why."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import orjson

from ledger.values import REASONS, UNKNOWN, Delivery, State
from nrc.cli.registry.condition import next_probe, state_of
from nrc.cli.terminal import ids
from nrc.cli.terminal.output import moment, printable, shown
from schemas.abonnement import State as Registered

if TYPE_CHECKING:
    from ledger.values import Attempt, Notificatie
    from nrc.cli.tracing.account import Account
    from schemas.abonnement import Abonnement


class Place(StrEnum):
    """Where a notificatie may be."""

    UNDELIVERABLE = "undeliverable"
    QUEUE = "queue"
    BETWEEN_ATTEMPTS = "between attempts"
    STUCK = "stuck"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Undelivered:
    """One delivery.

    notificatie: None when the ledger has none. failures: of its last round, the oldest first. abonnement:
    None when it was removed, or is not known.
    """

    row: Delivery
    notificatie: Notificatie | None
    failures: Sequence[Attempt]
    abonnement: Abonnement | None

    @property
    def place(self) -> Place:
        """Where it is."""
        match self.row.state:
            case State.UNDELIVERABLE | State.STUCK | State.UNSURE:
                return Place(self.row.state.value)
            case State.RETRYING if self._due is not None:
                return Place.BETWEEN_ATTEMPTS
        return Place.QUEUE

    @property
    def where(self) -> str:
        """The same for people, and what happens to it next."""
        match self.place:
            case Place.UNDELIVERABLE:
                return "undeliverable: `nrc undeliverable resend` sends it again"
            case Place.STUCK:
                return "nowhere: RabbitMQ lost it several times; `nrc retry now` sends it"
            case Place.UNSURE:
                return "unsure, since an older ledger was put back: `nrc ledger audit` decides"
        queue = "its queue, until the keeper ends it: its abonnement is gone"
        if self.abonnement is not None:
            due = next_probe(self.abonnement)
            probe = f", next probe {due}" if due else ""
            queue = f"the queue of its abonnement, which is {state_of(self.abonnement)}{probe}"
        if self._due is None:
            return queue
        if self.next_attempt:
            return f"between attempts, the next at {shown(self._due)}"
        return f"between attempts, until {shown(self._due)}; then in {queue}"

    @property
    def next_attempt(self) -> str | None:
        """When the next attempt is; None when that is not known."""
        active = self.abonnement is not None and self.abonnement.state is Registered.ACTIVE
        return moment(self._due) if self._due is not None and active else None

    @property
    def since(self) -> str | None:
        """Since when it is undeliverable."""
        return moment(self.row.last_at / 1000) if self.row.state is State.UNDELIVERABLE else None

    @property
    def owner(self) -> str | None:
        """The UUID of its abonnement; None when that is not known."""
        uuid = self.row.key.abonnement
        return None if uuid == UNKNOWN else str(uuid)

    @property
    def body(self) -> bytes:
        """The notificatie; empty when the ledger does not have it any more."""
        return (self.notificatie.body if self.notificatie is not None else None) or b""

    def cells(self, *, wide: bool) -> list[object]:
        """The cells of its row in a list."""
        key, owner = self.row.key, self.owner
        last = in_words(self.failures[-1]) if self.failures else ""
        return [
            key.notificatie if wide else ids.short(key.notificatie),
            (owner if wide else ids.short(owner)) if owner else "unknown",
            self.notificatie.kanaal if self.notificatie is not None else "",
            self.row.attempts,
            last if wide else last[:60],
            self.since or "",
        ]

    def facts(self) -> dict[str, object]:
        """The same for scripts."""
        key, notificatie = self.row.key, self.notificatie
        return {
            "id": str(key.notificatie),
            "abonnement": self.owner,
            "replay": key.replay,
            "kanaal": notificatie.kanaal if notificatie is not None else None,
            "acceptedAt": moment(notificatie.received / 1000) if notificatie is not None else None,
            "undeliverableAt": self.since,
            "attempts": self.row.attempts,
            "failures": [
                {
                    "at": moment(each.at / 1000),
                    "class": each.kind,
                    "status": each.status,
                    "detail": each.detail,
                }
                for each in self.failures
            ],
        }

    def whole_facts(self) -> dict[str, object]:
        """The same, with where it is and the notificatie itself."""
        return {
            **self.facts(),
            "where": self.place,
            "state": self.abonnement.state if self.abonnement is not None else None,
            "nextAttempt": self.next_attempt,
            "notificatie": _json_of(self.body),
        }

    @property
    def _due(self) -> float | None:
        """Until when it is between two attempts (Unix seconds); None when it is not."""
        due = self.row.next_at
        return due / 1000 if due is not None and due / 1000 > time.time() else None


async def look_up(account: Account, row: Delivery) -> Undelivered:
    """Read what there is to show of a delivery."""
    return Undelivered(
        row=row,
        notificatie=await account.ledger.notificatie(row.key.notificatie),
        failures=_failures(await account.ledger.attempts(row.key), row.attempts),
        abonnement=account.catalogue.everyone.get(row.key.abonnement),
    )


def in_words(failure: Attempt) -> str:
    """Why an attempt failed, on one line."""
    status = f" {failure.status}" if failure.status is not None else ""
    detail = f": {failure.detail}" if failure.detail else ""
    return printable(f"{failure.kind}{status}{detail}")


def _failures(attempts: Sequence[Attempt], count: int) -> tuple[Attempt, ...]:
    """The failed attempts of its last round, and the reason when it ended without an attempt."""
    numbered = [each for each in attempts if each.number]
    ended = [each for each in attempts[-1:] if not each.number and each.kind in REASONS]
    return (*(numbered[-count:] if count else ()), *ended)


def _json_of(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace") or None
