"""Moments and durations as people type them, moments in the time of Europe/Amsterdam. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from ledger.explaining.dutch import AMSTERDAM

_DURATION = re.compile(r"(\d{1,9})([smhd])")
_MILLISECONDS = re.compile(r"(\d{1,9})ms")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 100 * 366 * 86400
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_DAY = re.compile(r"(\d{1,2})-(\d{1,2})(?:-(\d{4}))?(?:[ T](.+))?")


def read_duration(text: str) -> int:
    """The seconds of `45s`, `30m`, `24h`, `7d`, or a sum such as `1h30m`. Raises ValueError."""
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text))
    if not re.fullmatch(f"({_DURATION.pattern})+", text) or not 0 < seconds <= _LONGEST:
        raise ValueError(f"{text!r} is no duration such as 45s, 30m, 24h or 7d.")
    return seconds


def read_span(text: str) -> int:
    """The milliseconds of `200ms`, or of what `read_duration` takes. Raises ValueError."""
    if match := _MILLISECONDS.fullmatch(text):
        return int(match[1])
    try:
        return read_duration(text) * 1000
    except ValueError:
        raise ValueError(f"{text!r} is no duration such as 200ms, 10s, 5m or 2h.") from None


def read_moment(text: str, *, now: float) -> int:
    """Milliseconds since 1970 of `01:46`, `28-10`, `28-10 01:46`, an ISO 8601 time, or `2h` (ago).

    A time without its date, or a date without its year, is the last such that has come. now: Unix seconds.
    Raises ValueError.
    """
    typed = text.strip()
    local = datetime.fromtimestamp(now, AMSTERDAM)
    try:
        found = _of_today(typed, local) or _of_a_day(typed, local) or _iso(typed)
        return round(found.timestamp() * 1000)
    except (ValueError, OverflowError):
        pass
    try:
        return round((now - read_duration(typed)) * 1000)
    except ValueError:
        raise ValueError(
            f"{text!r} is no moment such as 01:46, '28-10 01:46', 2025-10-28T01:46 or 2h (ago)."
        ) from None


def _of_today(text: str, local: datetime) -> datetime | None:
    """A time: today's when that has come, else yesterday's."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    found = _at(local, match)
    return found if found <= local else _at(local - timedelta(days=1), match)


def _at(day: datetime, match: re.Match[str]) -> datetime:
    hour, minute, second = (int(part or 0) for part in match.groups())
    return day.replace(hour=hour, minute=minute, second=second, microsecond=0, fold=0)


def _of_a_day(text: str, local: datetime) -> datetime | None:
    """A day and month, as they are written here, with or without year and time."""
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
