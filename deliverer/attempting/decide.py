"""Decides what follows from an answer: delivered, retry, put off, undeliverable, or suspend the abonnement.

Pure: time, schedule and history come in, a decision goes out. `settle` carries it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

from deliverer.http.client import Failure, FailureClass, Response
from router.history import History, aware
from router.topology import RUNGS

MAX_RETRY_AFTER = 3600  # seconds
GONE = 410
TOO_MANY = 429
RETRY_AFTER_STATUSES = frozenset({TOO_MANY, 503})
GONE_REASON = "callback answered 410 (gone)"
LATE = 1.0  # seconds that a wait may be longer than asked, to save a rung


@dataclass(frozen=True, slots=True)
class Delivered:
    """The callback accepted it."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Another attempt, once `step` (a wait queue's seconds) or the ladder up to history.due has passed."""

    history: History
    step: int


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """No attempt is left."""

    history: History


@dataclass(frozen=True, slots=True)
class Suspend:
    """The callback says that it is gone for good: nothing more is sent there until it is resumed.

    otherwise: what to do when it cannot be suspended because it was changed or the registry is away.
    """

    reason: str
    otherwise: Retry | Undeliverable


@dataclass(frozen=True, slots=True)
class PutOff:
    """No attempt was made because this process had no files or memory left: again soon, not counted."""


Decision = Delivered | Retry | Undeliverable | Suspend | PutOff


def classify(answer: Response | Failure) -> Failure | None:
    """Why this answer is a failure; None for a success, which is any 2xx."""
    if isinstance(answer, Failure):
        return answer
    if 200 <= answer.status < 300:
        return None
    if 300 <= answer.status < 400:
        detail = f"answered {answer.status}; redirects are not followed"
        return Failure(FailureClass.REDIRECT, detail, answer.status)
    if answer.loop:
        detail = f"answered {answer.status}: it has been through too many deliveries of an NRC"
        return Failure(FailureClass.LOOP, detail, answer.status)
    return Failure(FailureClass.HTTP_STATUS, f"answered {answer.status}", answer.status)


def decide(
    answer: Response | Failure, *, history: History, schedule: Sequence[int], now: datetime
) -> Decision:
    """The decision after the answer to the attempt that follows `history`.

    A message has 1 + len(schedule) attempts. A Retry-After (on 429 and 503) replaces a shorter step of the
    schedule, and costs an attempt. It never shortens one: with a fixed `Retry-After: 1` all attempts would be
    over within seconds. A notificatie that loops between NRCs has no further attempt.
    """
    failure = classify(answer)
    if failure is None:
        return Delivered()
    if failure.kind is FailureClass.SHORTAGE:
        return PutOff()
    after = history.after(failure, at=now)
    if after.attempts > len(schedule) or failure.kind is FailureClass.LOOP:
        next_time: Retry | Undeliverable = Undeliverable(after)
    else:
        step = schedule[after.attempts - 1]
        wait = asked_wait(answer, now=now)
        if wait is not None and wait > step:
            after = until(after, seconds=wait, now=now)
        next_time = Retry(after, step)
    if failure.status == GONE:
        return Suspend(GONE_REASON, otherwise=next_time)
    return next_time


def until(history: History, *, seconds: float, now: datetime) -> History:
    """The history of a message that waits this long, through the ladder of wait queues (RUNGS)."""
    return history.waiting_until(_milliseconds(now) + round(seconds * 1000))


def asked_wait(answer: Response | Failure, *, now: datetime) -> float | None:
    """The seconds that a callback asks to wait, at most an hour; None without a valid Retry-After."""
    if not isinstance(answer, Response) or answer.status not in RETRY_AFTER_STATUSES:
        return None
    text = (answer.retry_after or "").strip()
    if text.isascii() and text.isdecimal():
        # Not as an integer at once: Python refuses to read one of more than 4,300 digits.
        seconds = float(text) if len(text) < 10 else float(MAX_RETRY_AFTER)
    else:
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, OverflowError):  # the latter for an absurd year or offset
            return None
        seconds = aware(date).timestamp() - now.timestamp()
    return min(seconds, float(MAX_RETRY_AFTER)) if seconds > 0 else None


def next_rung(history: History, *, now: datetime) -> int | None:
    """The next wait queue (in seconds) of this message; None when it is due.

    The longest that fits: the message is never early, and at most LATE too late.
    """
    if history.due is None:
        return None
    left = (history.due - _milliseconds(now)) / 1000
    if left <= 0 or _clock_was_put_back(history, now=now):
        return None
    rung: int = max(rung for rung in RUNGS if rung <= left + LATE)
    return rung


def ways_to_wait(retry: Retry, *, now: datetime) -> Iterator[tuple[int, History]]:
    """The possible wait queues (in seconds), the best first, each with the history to send along.

    The ladder replaces a step of the schedule without a queue (the router has another schedule, or it was
    deleted); a shorter rung, several times, replaces a rung without one.
    """
    history = retry.history
    if history.due is None:
        yield retry.step, history
        history = until(history, seconds=retry.step, now=now)
    longest = next_rung(history, now=now) or RUNGS[0]
    for rung in reversed(RUNGS):
        if rung <= longest:
            yield rung, history


def _clock_was_put_back(history: History, *, now: datetime) -> bool:
    """Whether the failure from which `due` counts lies ahead: the wait could else last for days."""
    return bool(history.failures) and history.failures[-1].at > now


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
