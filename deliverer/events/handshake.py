"""Asks a callback by OPTIONS whether it wants CloudEvents from here, and how many a minute.

By "HTTP 1.1 Web Hooks for Event Delivery" 1.0.2 (cloudevents/spec), section 4: only the header
WebHook-Allowed-Origin is consent; the status of the answer means nothing.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from deliverer.events.request import ORIGIN
from deliverer.http.client import CallbackClient, Failure
from deliverer.http.responses import ALLOWED_ORIGIN, ALLOWED_RATE
from runtime.settings import Settings
from schemas.callback_auth import CallbackAuth
from schemas.events.options import MOST_A_MINUTE
from schemas.urls import read_url

REQUEST_RATE = "WebHook-Request-Rate"
ASKED_RATE = 60_000  # requests a minute; more than one abonnement gets
ANY = "*"
_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Consent:
    """The callback agreed. origin: the name by which it knows us. rate: requests a minute; None: any."""

    origin: str
    rate: float | None


def origin_of(settings: Settings) -> str:
    """Our name: the host of NRC_PUBLIC_URL, else that of this machine."""
    host = read_url(settings.public_url).host if settings.public_url else None
    return host or socket.gethostname()


async def ask(
    client: CallbackClient,
    url: str,
    *,
    origin: str,
    auth: str,
    callback_auth: CallbackAuth | None,
    rate: float | None,
    timeout: float,
) -> Consent | Failure | None:
    """The consent of a callback; None when its answer gives none, Failure when there is no answer.

    rate: requests a minute that it is asked for; None: as many as there may be. timeout: seconds.
    """
    headers = {ORIGIN: origin, REQUEST_RATE: str(round(rate) or 1 if rate else ASKED_RATE)}
    if auth:
        headers["Authorization"] = auth
    answer = await client.options(url, headers=headers, timeout=timeout, auth=callback_auth)
    return answer if isinstance(answer, Failure) else consent_of(answer, origin=origin)


def consent_of(headers: Mapping[str, str], *, origin: str) -> Consent | None:
    """What the headers of an answer say. A rate that is no number is no limit. Pure."""
    allowed = [name.strip().lower() for name in headers.get(ALLOWED_ORIGIN, "").split(",")]
    if ANY not in allowed and origin.lower() not in allowed:
        return None
    text = headers.get(ALLOWED_RATE, "").strip()
    rate = float(text) if _NUMBER.fullmatch(text) else 0.0
    return Consent(origin, rate if 0 < rate <= MOST_A_MINUTE else None)
