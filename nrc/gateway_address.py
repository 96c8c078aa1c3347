"""The URL of a gateway on this machine, from the address that it listens on."""

from __future__ import annotations

from yarl import URL

from runtime.settings import Listen


def gateway_root(listen: Listen) -> URL:
    """The root URL of a gateway that listens there, for this machine."""
    host, port = listen
    return URL.build(scheme="http", host={"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port=port)  # noqa: S104
