"""Which certificates are watched: those of callbacks' servers, and client certificates. Pure.

alerting/certificates.py looks at those of servers; a client certificate is in the registry (callbackAuth).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from schemas.abonnement import Abonnement, State
from schemas.urls import read_url

if TYPE_CHECKING:
    from operating.conditions import Condition
    from schemas.callback_auth.certificates import Facts


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


def client_certificate(abonnement: Abonnement) -> Facts | None:
    """That which goes to its callback, when something is still to be sent there."""
    auth = abonnement.callback_auth
    if auth is None or auth.client_certificate is None or tls_server(abonnement) is None:
        return None
    return auth.client_certificate.facts


def client_certificates(conditions: Iterable[Condition]) -> Mapping[Facts, list[Condition]]:
    """Each client certificate with the abonnementen that have it."""
    users: dict[Facts, list[Condition]] = defaultdict(list)
    for each in conditions:
        if (facts := client_certificate(each.abonnement)) is not None:
            users[facts].append(each)
    return users
