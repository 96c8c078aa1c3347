"""Times as people type them, in Europe/Amsterdam: a click type."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta

import click

from ledger.explaining.dutch import AMSTERDAM
from nrc.cli.terminal import parameters

_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_DAY = re.compile(r"(\d{1,2})-(\d{1,2})(?:-(\d{4}))?(?:[ T](.+))?")


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def moment(text: str) -> int:
    """Milliseconds since 1970 of `01:46`, `28-10`, `28-10 01:46`, an ISO 8601 time, or `2h` (ago).

    A time without a date, or a date without a year, is the last such moment in the past.
    """
    return _moment(text.strip(), now() / 1000)


def _moment(text: str, current: float) -> int:
    local = datetime.fromtimestamp(current, AMSTERDAM)
    try:
        found = _of_today(text, local) or _of_a_day(text, local) or _iso(text)
    except ValueError:
        found = None
    if found is None:
        try:
            return round((current - parameters.duration(text)) * 1000)
        except click.BadParameter:
            raise click.BadParameter(
                f"{text!r} is no moment such as 01:46, '28-10 01:46', 2025-10-28T01:46 or 2h (ago)."
            ) from None
    return round(found.timestamp() * 1000)


def _of_today(text: str, local: datetime) -> datetime | None:
    """A time: today's when that has passed, else yesterday's."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    found = _at(local, match)
    return found if found <= local else _at(local - timedelta(days=1), match)


def _at(day: datetime, match: re.Match[str]) -> datetime:
    hour, minute, second = (int(part or 0) for part in match.groups())
    return day.replace(hour=hour, minute=minute, second=second, microsecond=0, fold=0)


def _of_a_day(text: str, local: datetime) -> datetime | None:
    """Day and month in the Dutch order, with or without year and time."""
    match = _DAY.fullmatch(text)
    if match is None:
        return None
    day, month, year, rest = match.groups()
    at = _TIME.fullmatch(rest or "00:00")
    if at is None:
        return None
    midnight = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0, fold=0)
    if year:
        return _at(midnight.replace(year=int(year), month=int(month), day=int(day)), at)
    found = _at(midnight.replace(month=int(month), day=int(day)), at)
    return found if found <= local else found.replace(year=found.year - 1)


def _iso(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=AMSTERDAM)
