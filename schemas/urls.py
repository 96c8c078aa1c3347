"""Parses URLs from untrusted texts with yarl."""

from __future__ import annotations

from yarl import URL


def read_url(text: str) -> URL:
    """The URL. Raises ValueError for any invalid one; yarl itself raises IndexError for `http://[::1]@`."""
    try:
        return URL(text)
    except IndexError as error:
        raise ValueError("no URL") from error
