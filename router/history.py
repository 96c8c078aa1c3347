"""The headers with which a message carries its history (docs/messages.md).

A message that is published again keeps these and the headers of its kenmerken (`k.…`), and nothing else:
RabbitMQ's own `x-death` would make RabbitMQ drop it as a cycle.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

import orjson

from router import names
from router.names import ABONNEMENT_HEADER, KENMERK_PREFIX
from router.publishing import Outgoing

ATTEMPTS = "nrc-attempts"
FAILURES = "nrc-failures"
DUE = "nrc-due"
ROUND = "nrc-round"
REPLAY = "nrc-replay"
UNDELIVERABLE_AT = "nrc-undeliverable-at"
RESENT_AT = "nrc-resent-at"
HOPS = "nrc-hops"
"""Also a header of a request to a callback, which counts that delivery too, and of an answer 508."""
TRACEPARENT = "traceparent"
"""Of W3C Trace Context, as of a request: where traces are on, a message carries it."""
BATCH = "nrc-batch-id"
CORRELATION = "nrc-correlation-id"
"""What the publisher sent as X-Batch-Id and X-Correlation-Id, for the request to the callback."""

_NAMES = {BATCH: "X-Batch-Id", CORRELATION: "X-Correlation-Id"}
PASSED_ON = frozenset(_NAMES)

_COUNT = re.compile(r"[0-9]{1,6}")
_STAY = frozenset({RESENT_AT, HOPS, TRACEPARENT, "tracestate", BATCH, CORRELATION})
MOST_ROUNDS = 2**31  # and replays; the ledger has four bytes for these
MAX_FAILURES = 60  # the newest; a retry schedule has at most 50 steps


class Failure(Protocol):
    """Why an attempt failed. kind: its class; detail: one line for people; status: of the answer, if any."""

    @property
    def kind(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def status(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """One attempt that failed. kind: a class of failure, or what another version wrote."""

    at: datetime
    kind: str
    status: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class History:
    """The history of a message so far. due: milliseconds since 1970, or None.

    replay: that of its delivery in the ledger; round: how often that was put into its queue again. Both are 0
    for a message that a gateway or an older version published.
    """

    attempts: int = 0
    failures: tuple[FailedAttempt, ...] = ()
    due: int | None = None
    round: int = 0
    replay: int = 0

    def after(self, failure: Failure, *, at: datetime) -> History:
        """This history with one more failed attempt."""
        failed = FailedAttempt(at, str(failure.kind), failure.status, failure.detail)
        failures = (*self.failures, failed)[-MAX_FAILURES:]
        return replace(self, attempts=self.attempts + 1, failures=failures, due=None)

    def waiting_until(self, due: int | None) -> History:
        """This history with another `due`."""
        return replace(self, due=due)


def whose(headers: Mapping[str, Any], routing_key: str) -> UUID | None:
    """The abonnement of a message: by our header, else its key (from a wait queue) or its first queue."""
    with suppress(ValueError):
        return UUID(str(headers.get(ABONNEMENT_HEADER)))
    for name in (routing_key, headers.get("x-first-death-queue")):
        if isinstance(name, str) and (uuid := names.abonnement_of(name)) is not None:
            return uuid
    return None


def read_verdict(headers: Mapping[str, Any]) -> datetime | None:
    """When a deliverer gave a message up; None when something else did, such as a policy."""
    return _moment(headers.get(UNDELIVERABLE_AT))


def read_history(headers: Mapping[str, Any]) -> History:
    """The history that a message carries; invalid headers are ignored."""
    return History(
        attempts=_whole_number(headers.get(ATTEMPTS)) or 0,
        failures=_failures(headers.get(FAILURES)),
        due=_whole_number(headers.get(DUE)),
        round=_whole_number(headers.get(ROUND), below=MOST_ROUNDS) or 0,
        replay=_whole_number(headers.get(REPLAY), below=MOST_ROUNDS) or 0,
    )


def kept_headers(headers: Mapping[str, Any]) -> dict[str, str]:
    """The headers that stay with a message: its kenmerken, nrc-resent-at, nrc-hops, of a trace, and ids."""
    return {
        name: value
        for name, value in headers.items()
        if (name.startswith(KENMERK_PREFIX) or name in _STAY) and isinstance(value, str)
    }


def passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of a request to a callback that pass on what the publisher sent."""
    return {name: headers[kept] for kept, name in _NAMES.items() if kept in headers}


def read_hops(headers: Mapping[str, Any]) -> int:
    """How many deliveries by an NRC a message went through; 0 for one that its source published."""
    text = headers.get(HOPS)
    return int(text) if isinstance(text, str) and _COUNT.fullmatch(text) else 0


def resent_header(at: datetime) -> dict[str, str]:
    """The header that says when a message was sent again."""
    return {RESENT_AT: _text(at)}


def in_queue_since(headers: Mapping[str, Any], accepted_at: datetime | None) -> datetime | None:
    """When a message was accepted, or was sent again since; None when nothing says so."""
    resent_at = _moment(headers.get(RESENT_AT))
    accepted_at = accepted_at and aware(accepted_at)
    return max(resent_at, accepted_at) if resent_at and accepted_at else resent_at or accepted_at


def write_headers(
    abonnement: UUID, history: History, *, undeliverable_at: datetime | None = None
) -> dict[str, str | int]:
    """The headers of a message with this history."""
    headers: dict[str, str | int] = {
        ABONNEMENT_HEADER: str(abonnement),
        ATTEMPTS: history.attempts,
        FAILURES: orjson.dumps(
            [
                {"at": _text(each.at), "class": each.kind, "status": each.status, "detail": each.detail}
                for each in history.failures
            ]
        ).decode(),
    }
    if history.round:
        headers[ROUND] = history.round
    if history.replay:
        headers[REPLAY] = history.replay
    if history.due is not None:
        headers[DUE] = history.due
    if undeliverable_at is not None:
        headers[UNDELIVERABLE_AT] = _text(undeliverable_at)
    return headers


def built_anew(
    exchange: str,
    *,
    abonnement: UUID,
    body: bytes,
    message_id: str,
    timestamp: datetime | None,
    kept: Mapping[str, str],
    history: History,
    undeliverable_at: datetime | None = None,
) -> Outgoing:
    """A message to publish again. timestamp: when it was accepted. kept: its `kept_headers`."""
    return Outgoing(
        exchange=exchange,
        routing_key=names.abonnement_queue(abonnement),
        body=body,
        message_id=message_id,
        headers={**kept, **write_headers(abonnement, history, undeliverable_at=undeliverable_at)},
        timestamp=timestamp,
    )


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _whole_number(value: Any, *, below: int = 2**53) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < below:
        return value
    return None


def _failures(value: Any) -> tuple[FailedAttempt, ...]:
    if not isinstance(value, str):
        return ()
    try:
        items = orjson.loads(value)
    except orjson.JSONDecodeError:
        return ()
    if not isinstance(items, list):
        return ()
    return tuple(failed for item in items[-MAX_FAILURES:] if (failed := _failed_attempt(item)) is not None)


def _failed_attempt(item: Any) -> FailedAttempt | None:
    match item:
        case {"at": str(at), "class": str(kind), "detail": str(detail)}:
            if (moment := _moment(at)) is not None:
                return FailedAttempt(moment, kind, _whole_number(item.get("status")), detail)
    return None


def _moment(value: Any) -> datetime | None:
    try:
        return aware(datetime.fromisoformat(value)).astimezone(UTC) if isinstance(value, str) else None
    except (ValueError, OverflowError):  # the latter for a year that UTC lacks: it could not be written again
        return None


def aware(moment: datetime) -> datetime:
    """The moment with a zone: without one it is in UTC, as those of the client library are."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
