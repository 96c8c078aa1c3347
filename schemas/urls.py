"""URLs as yarl reads them, of texts that anyone may have written."""

from __future__ import annotations

from yarl import URL


def read_url(text: str) -> URL:
    """The URL. Raises ValueError for what is none; yarl itself raises IndexError for some, `http://[::1]@`."""
    try:
        return URL(text)
    except IndexError as error:
        raise ValueError("no URL") from error
