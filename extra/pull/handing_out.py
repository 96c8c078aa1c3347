"""What waits for an abonnement that is fetched, oldest first; handed out again until it is acknowledged.

What is UNSURE (open in an older copy of the ledger that was put back) waits for an operator, as that of any
abonnement does.
"""

from __future__ import annotations

from collections.abc import Container
from contextlib import suppress
from dataclasses import dataclass
from time import time
from uuid import UUID

import orjson

from extra.pull.cursors import MOST, Handed, cursor_of
from ledger.explaining import Clock
from ledger.ledger import Ledger
from ledger.values import FINAL, Key, Notificatie, Outcome, State
from schemas.errors import ParseError
from schemas.jsontext import read_json

READY = frozenset({State.PENDING, State.RETURNING})
LARGEST = 4 * 1024 * 1024  # bytes of bodies in one page, or one larger
LOOKED_AT = 2000  # rows that are ready, and are gone through for one page


@dataclass(frozen=True, slots=True)
class Item:
    """A delivery with its notificatie, body and all."""

    handed: Handed
    notificatie: Notificatie

    def json(self, *, cursor: str = "") -> bytes:
        """As it is handed out; the notificatie with the bytes that came in. cursor: that of it alone."""
        id_, replay = self.handed
        received = Clock.utc(self.notificatie.received)
        head = f'{{"id":"{id_}","replay":{replay or "null"},"received":"{received}"'
        alone = f',"cursor":"{cursor}"' if cursor else ""
        return f'{head}{alone},"notificatie":'.encode() + _body(self.notificatie) + b"}"


def page_json(items: list[Item]) -> bytes:
    """Items as the answer to a fetch."""
    cursor = f'"{cursor_of([each.handed for each in items])}"' if items else "null"
    return b'{"notificaties":[' + b",".join(each.json() for each in items) + f'],"cursor":{cursor}}}'.encode()


async def waiting_for(
    ledger: Ledger, abonnement: UUID, *, limit: int = MOST, but: Container[Handed] = frozenset()
) -> list[Item]:
    """The oldest that wait, without those in `but`. Raises LedgerError."""
    items: list[Item] = []
    size = looked_at = 0
    async for row in ledger.open_of(abonnement, states=READY):
        looked_at += 1
        handed = (row.key.notificatie, row.key.replay)
        if handed not in but:
            whole = await ledger.notificatie(row.key.notificatie)
            if whole is not None and whole.body is not None:
                size += len(whole.body)
                if items and size > LARGEST:
                    break
                items.append(Item(handed, whole))
        if len(items) >= limit or looked_at >= LOOKED_AT:
            break
    return items


async def ready_of(ledger: Ledger, abonnement: UUID) -> set[Handed]:
    """What waits for it, of the oldest LOOKED_AT. Raises LedgerError."""
    found: set[Handed] = set()
    async for row in ledger.open_of(abonnement, states=READY):
        found.add((row.key.notificatie, row.key.replay))
        if len(found) >= LOOKED_AT:
            break
    return found


async def acknowledged(ledger: Ledger, abonnement: UUID, handed: tuple[Handed, ...]) -> list[Outcome]:
    """The outcomes by which these are delivered; of what is not for this abonnement, or has ended, none."""
    outcomes = []
    for notificatie, replay in dict.fromkeys(handed):
        row = await ledger.delivery(Key(notificatie, abonnement, replay))
        if row is not None and row.state not in FINAL:
            at = int(time() * 1000)
            outcomes.append(Outcome(row.key, State.DELIVERED, row.round, row.attempts, at))
    return outcomes


def _body(notificatie: Notificatie) -> bytes:
    """Its bytes, when they are JSON: what an operator put into RabbitMQ by hand may be anything."""
    body = notificatie.body or b""
    with suppress(orjson.JSONDecodeError):
        orjson.loads(body)
        return body.strip()
    try:
        read_json(body)  # slower, and takes all that a gateway takes
    except ParseError:
        return b"null"
    return body.strip()
