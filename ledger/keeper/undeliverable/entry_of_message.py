"""Reads a message in RabbitMQ as values of the ledger: the reverse of giving_back/message.py. Pure.

For a message that the ledger may not know: of an older version, put in by hand, or of a gateway that died
before it wrote its entry. Accepts anything that can be in a queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any
from uuid import UUID

from aiormq.abc import DeliveredMessage

from ledger.ids import SKEW, id_of_message, received_of
from ledger.values import REASONS, UNKNOWN, Attempt, Entry, Event, Key, Outcome, State, ms_of
from router.history import FailedAttempt, History, aware, read_history, read_hops, read_verdict, whose
from schemas.errors import ParseError
from schemas.events.event import fields_of
from schemas.notificatie import kenmerken_of, read_accepted


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message as it was read. Times are milliseconds since 1970.

    key: of its delivery; the abonnement is UNKNOWN when the message does not say which. received: when it was
    accepted. verdict: when a deliverer gave it up; None where RabbitMQ or somebody else put it there.
    """

    key: Key
    history: History
    body: bytes
    received: int
    hops: int
    verdict: int | None


def read_letter(message: DeliveredMessage, *, owner: UUID | None = None, now: int) -> DeadLetter:
    """Read a message; with the same result each time. owner: the abonnement of the queue that it is in.

    now: milliseconds since 1970, used as `received` where the message does not say.
    """
    properties = message.header.properties
    headers = properties.headers or {}
    history = read_history(headers)
    abonnement = owner or whose(headers, message.routing_key or "") or UNKNOWN
    # One without an id was put in by hand; a copy of it with the same bytes is the same.
    id_ = id_of_message(properties.message_id or blake2b(message.body, digest_size=16).hexdigest())
    stamped = ms_of(aware(properties.timestamp)) if properties.timestamp else now
    verdict, made = read_verdict(headers), received_of(id_)
    return DeadLetter(
        key=Key(id_, abonnement, history.replay),
        history=history,
        body=message.body,
        received=made if made and made <= now + SKEW else stamped,  # an id may be made by hand
        hops=read_hops(headers),
        verdict=None if verdict is None else ms_of(verdict),
    )


def entry_of(letter: DeadLetter, *, catalogue: int) -> Entry:
    """Its entry, for its one abonnement: which others it was for is not known.

    client: "". catalogue: the newest, so that nothing matches it again for others.
    """
    try:
        found = read_accepted(letter.body)
    except ParseError:
        found = None
    data: Mapping[str, Any] = fields_of(found) if isinstance(found, dict) else {}

    def text(name: str) -> str:
        value = data.get(name)
        return _storable(value) if isinstance(value, str) else ""

    kenmerken = kenmerken_of(letter.body) or {}
    return Entry(
        id=letter.key.notificatie,
        received=letter.received,
        client="",
        kanaal=text("kanaal"),
        resource=text("resource"),
        actie=text("actie"),
        hoofd_object=text("hoofdObject"),
        resource_url=text("resourceUrl"),
        kenmerken={_storable(name): _storable(value) for name, value in kenmerken.items()},
        body=letter.body,
        catalogue=catalogue,
        matched=() if letter.key.replay else (letter.key.abonnement,),
        hops=letter.hops,
    )


def history_of(letter: DeadLetter, *, without_last: bool = False) -> list[Event]:
    """Its failed attempts, as its deliverers wrote them or would have.

    without_last: without the one that `ended` tells, after which no other came.
    """
    history, made = letter.history, _made(letter.history)
    shown = made[:-1] if without_last and history.failures[-1:] == made[-1:] else made
    number = history.attempts - len(made)
    return [
        Outcome(
            key=letter.key,
            state=State.RETRYING,
            round=history.round,
            attempts=max(number + place, 1),
            at=ms_of(each.at),
            failed=_attempt(each, max(number + place, 1)),
        )
        for place, each in enumerate(shown, 1)
    ]


def ended(letter: DeadLetter, *, at: int, reason: Attempt | None = None) -> Outcome:
    """The outcome that it is undeliverable. reason: by default the last failure on its message."""
    history = letter.history
    if reason is None and history.failures:
        last = history.failures[-1]
        reason = _attempt(last, 0 if last.kind in REASONS else max(history.attempts, 1))
    return _outcome(letter, State.UNDELIVERABLE, at=at, failed=reason)


def pending(letter: DeadLetter, *, at: int) -> Outcome:
    """The outcome that it is still to be delivered, in the round of its message."""
    return _outcome(letter, State.PENDING, at=at)


def _outcome(letter: DeadLetter, state: State, *, at: int, failed: Attempt | None = None) -> Outcome:
    history = letter.history
    return Outcome(letter.key, state, history.round, history.attempts, at, failed=failed)


def _made(history: History) -> tuple[FailedAttempt, ...]:
    return tuple(each for each in history.failures if each.kind not in REASONS)


def _attempt(failed: FailedAttempt, number: int) -> Attempt:
    return Attempt(ms_of(failed.at), number, _storable(failed.kind), _storable(failed.detail), failed.status)


def _storable(text: str) -> str:
    """A text without lone surrogates, which no database takes."""
    return text.encode(errors="replace").decode()
