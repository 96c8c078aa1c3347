"""Moments, and text from elsewhere, as commands and `operator.log` print them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def printable(text: str) -> str:
    """The text without control characters, which could control a terminal."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def moment(seconds: float) -> str:
    """Unix seconds as RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
