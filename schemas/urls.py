"""Parses URLs from untrusted texts with yarl."""

from __future__ import annotations

from ipaddress import ip_address

from yarl import URL


def read_url(text: str) -> URL:
    """The URL. Raises ValueError for any invalid one; yarl itself raises IndexError for `http://[::1]@`."""
    try:
        return URL(text)
    except IndexError as error:
        raise ValueError("no URL") from error


def is_loopback(url: URL) -> bool:
    """Whether its host is this machine itself, by its address or as `localhost`; no name is looked up."""
    host = url.host or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
