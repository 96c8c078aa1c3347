"""The ledger's values as table rows and back, and how an outcome is merged into a row. Pure: no SQL.

Knows the columns of ledger/sqlite/schema.py. Code that runs for every notificatie or delivery uses plain
tuples in the order of the columns: a value class costs more than its row does in SQLite.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from hashlib import blake2b
from typing import Any, NamedTuple
from uuid import UUID

from ledger.values import CUT_OFF, OPEN, Attempt, Delivery, Entry, Key, Notificatie, Outcome, State, merge_key
from schemas.fields import normalise

STATES = {
    State.PENDING: 0,
    State.RETURNING: 1,
    State.RETRYING: 2,
    State.UNSURE: 3,
    State.STUCK: 4,
    State.UNDELIVERABLE: 5,
    State.NOT_WANTED: 6,
    State.DELIVERED: 7,
    State.REMOVED: 8,
}
"""The numbers of states in the file; they never change."""
STATE_OF = {number: state for state, number in STATES.items()}
COMMON = frozenset({State.PENDING, State.DELIVERED})
"""States that nearly every delivery has; the others have an index of their own (delivery_uncommon)."""

_OPEN_NUMBERS = frozenset(STATES[state] for state in OPEN)
_PENDING, _RETRYING, _STUCK = STATES[State.PENDING], STATES[State.RETRYING], STATES[State.STUCK]
_DELIVERED = STATES[State.DELIVERED]

FOR_EVER = 4_102_444_800_000
"""2100-01-01: later than anything was accepted."""
_EPOCH = 1_577_836_800_000  # 2020-01-01: until 2063 an n takes six bytes
PLACES = 1024
"""Values of `n` for each ten milliseconds; further notificaties take some of the next ten."""


SPILL = 100 * PLACES
"""How far an n may lie beyond those of its moment, when these were taken."""


class Kind(IntEnum):
    """What a row of `name` names."""

    CLIENT = 1
    KANAAL = 2
    ABONNEMENT = 3


class Counter(IntEnum):
    """`what` of a row of `minute`; `who` is a kanaal for the first two, 0 for HELD, else an abonnement.

    Deliveries that came to a state are counted under STATE + the number of the state: under RETURNING what
    RabbitMQ lost, and not what somebody asked for.
    """

    ACCEPTED = 0
    MATCHED = 1
    IN_VAIN = 2
    """NOT_WANTED for an abonnement that it was matched for: dropped by a fault, and given back later."""
    HELD = 3
    """What waited for abonnementen that nothing is sent to, when the keeper looked."""
    ASKED_FOR = 4
    """Sent again because somebody asked for that: an operator, or a replay of anybody."""
    STATE = 10


FAILED = (
    f"({{d}}.attempts > CASE WHEN {{d}}.state = {STATES[State.DELIVERED]} THEN 1 ELSE 0 END "  # noqa: S608
    "OR {d}.round > 0 AND EXISTS (SELECT 1 FROM attempt a WHERE a.id = {d}.id "
    "AND a.abonnement = {d}.abonnement AND a.replay = {d}.replay AND a.number > 0))"
)
"""The condition of `Search.failed` on a delivery d, in any of its rounds.

The attempt that delivered it is no failed one. `attempts` are those of the newest round.
"""
LATE = f"{{d}}.replay = 0 AND {{d}}.state = {STATES[State.DELIVERED]} AND {{d}}.last_at - m.received >= "
"""That of `Search.late`, on a delivery d of a notificatie m; the milliseconds come after it."""
PUNCTUALITY = (
    f"count(*), sum(CASE WHEN d.state = {STATES[State.DELIVERED]} THEN 1 ELSE 0 END), "
    f"sum(CASE WHEN {FAILED.format(d='d')} THEN 1 ELSE 0 END), "
    f"sum(CASE WHEN {LATE.format(d='d')}{{late:d}} THEN 1 ELSE 0 END), "
    f"max(CASE WHEN d.state = {STATES[State.DELIVERED]} THEN d.last_at - m.received END)"
)
"""The fields of a Punctuality, of deliveries d and their notificaties m."""


class Row(NamedTuple):
    """A row of `delivery`, in the order of its columns."""

    id: bytes
    abonnement: int
    replay: int
    open: int
    state: int
    round: int
    attempts: int
    since: int
    last_at: int
    next_at: int | None
    size: int
    given: int
    doubt: int
    status: int | None
    us: int | None
    again_at: int | None


_as_row = tuple.__new__  # what Row(…) does, without naming each field


def first_n(received: int) -> int:
    """The least n of a notificatie that was received at this moment."""
    return (received - _EPOCH) // 10 * PLACES


def least_id(received: int) -> bytes:
    """Less than every id that was made at this moment or later."""
    return max(received, 0).to_bytes(6) + bytes(10)


def pack_terms(terms: Iterable[int]) -> bytes:
    """The hashes of a notificatie's kenmerken in eight bytes each."""
    return b"".join(term.to_bytes(8, signed=True) for term in terms)


def unpack_terms(packed: bytes) -> Iterator[int]:
    """The hashes that `pack_terms` packed."""
    for start in range(0, len(packed), 8):
        yield int.from_bytes(packed[start : start + 8], signed=True)


TERMS_KEPT, LONGEST_KEPT = 4096, 256  # kenmerken whose hashes are kept, and characters of each


class Hashes:
    """Keyed 64-bit hashes, by which a text is found without being there itself."""

    def __init__(self, key: bytes) -> None:
        self._segments = blake2b(key=key, digest_size=8, person=b"segment")
        self._terms = blake2b(key=key, digest_size=8, person=b"term")
        self._kept: dict[tuple[str, str], int] = {}  # most kenmerken recur

    def segment(self, url: str) -> int:
        """Of the last segment of a URL's path, whatever the case of its letters."""
        hashed = self._segments.copy()
        hashed.update(last_segment(url).encode())
        return int.from_bytes(hashed.digest(), "little", signed=True)

    def term(self, name: str, value: str) -> int:
        """Of a kenmerk; `name` in any spelling that normalises alike, `value` exactly."""
        key = (name, value)
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        hashed = self._terms.copy()
        hashed.update(f"{normalise(name)}\0{value}".encode())
        term = int.from_bytes(hashed.digest(), "little", signed=True)
        if len(self._kept) >= TERMS_KEPT:
            self._kept = {}
        if len(name) + len(value) <= LONGEST_KEPT:
            self._kept[key] = term
        return term


def last_segment(url: str) -> str:
    """The text after the last `/` of a URL's path, in lower case; all of a text without one."""
    path = url.rstrip("/")
    if "?" in url or "#" in url:
        path = url.partition("#")[0].partition("?")[0].rstrip("/")
    return (path.rpartition("/")[2] or url).lower()


def notificatie_row(
    entry: Entry, n: int, *, client: int, kanaal: int, terms: Iterable[int], hashes: Hashes
) -> tuple[int, bytes, int, int, int, str, str, int, int, int, int, int, bytes]:
    """The row of `notificatie`."""
    url = entry.resource_url
    hoofd = hashes.segment(entry.hoofd_object)
    return (
        n,
        entry.id.bytes,
        entry.received,
        client,
        kanaal,
        entry.resource,
        entry.actie,
        hoofd,
        hoofd if url == entry.hoofd_object else hashes.segment(url),
        len(entry.body),
        entry.catalogue,
        entry.hops,
        pack_terms(terms),
    )


def pending_row(id_: bytes, abonnement: int, *, received: int, size: int, now: int) -> Row:
    """The row of a delivery that an entry makes."""
    row = (id_, abonnement, 0, 1, _PENDING, 0, 0, now, received, None, size, 0, 0, None, None, None)
    return _as_row(Row, row)


def outcome_row(outcome: Outcome, abonnement: int, *, old: Row | None, now: int) -> Row:
    """The row after an outcome that wins over `old`; what it does not say stays as it was."""
    state = STATES[outcome.state]
    later = now + round((outcome.wait or 0) * 1000)
    next_at = later if state == _RETRYING else None
    since = later if old is None or state in _OPEN_NUMBERS else old.since
    delivered = state == _DELIVERED
    return Row(
        outcome.key.notificatie.bytes,
        abonnement,
        outcome.key.replay,
        int(state in _OPEN_NUMBERS),
        state,
        outcome.round,
        outcome.attempts,
        since,
        outcome.at,
        next_at,
        old.size if old else 0,
        old.given if old else 0,
        old.doubt if old else 0,
        outcome.status if delivered else None,
        _microseconds(outcome.ms) if delivered else None,
        now if outcome.anew else old.again_at if old else None,
    )


_RANKS = [merge_key(STATE_OF[number], round_=0, attempts=0, at=0) for number in range(len(STATES))]


def key_of_row(row: Row) -> tuple[int, int, int, int, int]:
    """Its `merge_key`, without enums, which take time."""
    rank = _RANKS[row.state]
    return (rank[0], row.round, row.attempts, rank[3], row.last_at)


def count_open(row: Row, backlog: list[int], times: int) -> None:
    """Add an open row to `backlog` (n, bytes, stuck); `times` -1 subtracts it."""
    if row.open:
        backlog[0] += times
        backlog[1] += times * row.size
        if row.state == _STUCK:
            backlog[2] += times


def attempt_row(
    key: Key, abonnement: int, round_: int, attempt: Attempt
) -> tuple[bytes, int, int, int, int, int, str, int | None, int | None, str]:
    """The row of `attempt`."""
    return (
        key.notificatie.bytes,
        abonnement,
        key.replay,
        round_,
        attempt.number,
        attempt.at,
        attempt.kind,
        attempt.status,
        _microseconds(attempt.ms),
        attempt.detail,
    )


def attempt_of(row: tuple[int, int, str, int | None, int | None, str]) -> Attempt:
    """The attempt of (number, at, kind, status, us, detail)."""
    number, at, kind, status, us, detail = row
    return Attempt(at=at, number=number, kind=kind, detail=detail, status=status, ms=_milliseconds(us))


def delivery_of(row: Row, abonnement: UUID) -> Delivery:
    """The delivery of a row."""
    return Delivery(
        key=Key(UUID(bytes=row.id), abonnement, row.replay),
        state=STATE_OF[row.state],
        round=row.round,
        attempts=row.attempts,
        since=row.since,
        last_at=row.last_at,
        next_at=row.next_at,
        size=row.size,
        given=row.given,
        doubt=bool(row.doubt),
        status=row.status,
        ms=_milliseconds(row.us),
        again_at=row.again_at,
    )


NOTIFICATIE_COLUMNS = "id, received, client, kanaal, resource, actie, size, catalogue, hops"


def notificatie_of(
    row: tuple[Any, ...],
    *,
    client: str,
    kanaal: str,
    unrouted: bool,
    body: bytes | None = None,
    trace: str = "",
) -> Notificatie:
    """The notificatie of a row that begins with NOTIFICATIE_COLUMNS."""
    made = (UUID(bytes=row[0]), row[1], client, kanaal, *row[4:8], unrouted, body, row[8], trace, "", "")
    return _as_row(Notificatie, made)


_KEY_BYTES = 36


def pack_keys(keys: Iterable[Key]) -> bytes:
    """Keys in 36 bytes each: notificatie, abonnement, replay."""
    return b"".join(key.notificatie.bytes + key.abonnement.bytes + key.replay.to_bytes(4) for key in keys)


def unpack_keys(packed: bytes) -> Iterator[Key]:
    """The keys that `pack_keys` packed."""
    for start in range(0, len(packed), _KEY_BYTES):
        one = packed[start : start + _KEY_BYTES]
        yield Key(UUID(bytes=one[:16]), UUID(bytes=one[16:32]), int.from_bytes(one[32:]))


def count_keys(packed: bytes) -> int:
    """How many deliveries `pack_keys` packed."""
    return 0 if packed == CUT_OFF_PACKED else len(packed) // _KEY_BYTES


CUT_OFF_PACKED = pack_keys([CUT_OFF])


def _microseconds(ms: float | None) -> int | None:
    return None if ms is None else round(ms * 1000)


def _milliseconds(us: int | None) -> float | None:
    return None if us is None else us / 1000
