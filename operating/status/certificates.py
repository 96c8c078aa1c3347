"""Which servers of callbacks have a certificate that is looked at. Pure; alerting/certificates.py looks."""

from __future__ import annotations

from schemas.abonnement import Abonnement, State
from schemas.urls import read_url


def tls_server(abonnement: Abonnement) -> tuple[str, int] | None:
    """(host, port) of its callback, when that is https and something is still to be sent there."""
    if abonnement.is_pull or abonnement.state is State.SUSPENDED:
        return None
    try:
        url = read_url(abonnement.callback_url)
    except ValueError:
        return None
    if url.scheme != "https" or not url.raw_host or url.port is None:
        return None
    return url.raw_host, url.port
