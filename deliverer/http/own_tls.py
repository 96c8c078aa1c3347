"""Connections of their own for callbacks with a client certificate, or with authorities of their own.

Owns which of them exist: one client, with its connections and tokens, for each certificate, key and
authorities. So no connection, name lookup or token that was made with one certificate is used with another,
and what is changed holds from the next request on.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from deliverer.http.client import CallbackClient, Failure, FailureClass, Response
from deliverer.http.tokens import Tokens
from runtime.open_files import is_shortage
from runtime.trust import presenting
from schemas.callback_auth import CallbackAuth

IDLE = 600.0  # seconds without a request after which one is closed; its connections go before that
MAX_KEPT = 1000
OFF = "NRC_CALLBACK_CERTIFICATES is off, and this callback has a certificate or authorities of its own"

_NO_CONNECTION = frozenset(
    {FailureClass.TLS_ERROR, FailureClass.CLIENT_CERTIFICATE_REFUSED, FailureClass.CONNECTION_ERROR}
)


@dataclass(slots=True)
class Own:
    """The client of one certificate. used: monotonic seconds; users: requests under way."""

    client: CallbackClient
    tokens: Tokens
    used: float = 0.0
    users: int = 0


class OwnConnections:
    """Those of one process. client: whose rules hold. ca_file: of authorities besides the system's."""

    def __init__(
        self,
        client: CallbackClient,
        *,
        ca_file: Path | None,
        allowed: bool,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._client = client
        self._ca_file = ca_file
        self._allowed = allowed
        self._clock = clock
        self._kept: dict[bytes, Own] = {}  # the one that was used last at the end
        self._making: dict[bytes, asyncio.Task[Own | Failure]] = {}

    @asynccontextmanager
    async def of(self, auth: CallbackAuth, *, within: float) -> AsyncIterator[Own | Failure]:
        """The client with these certificates, for one request; or why there is none. within: seconds."""
        found = await self._find(auth, within=within) if self._allowed else _unusable(OFF)
        if isinstance(found, Failure):
            yield found
            return
        found.users += 1
        try:
            yield found
        finally:
            found.users -= 1
            found.used = self._clock()

    async def close(self) -> None:
        """Close all connections."""
        for task in (tasks := [*self._making.values()]):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        kept, self._kept = [*self._kept.values()], {}
        for each in kept:
            await _close(each)

    async def _find(self, auth: CallbackAuth, *, within: float) -> Own | Failure:
        key = _key_of(auth)
        await self._close_unused()
        if (kept := self._kept.pop(key, None)) is not None:
            self._kept[key] = kept
            kept.used = self._clock()
            return kept
        task = self._making.get(key)
        if task is None:
            task = asyncio.create_task(self._make(key, auth), name="loading a client certificate")
            self._making[key] = task
            task.add_done_callback(lambda _: self._making.pop(key, None))
        # Others may wait for the same one: it goes on when this one is cancelled or has no time left.
        await asyncio.wait({task}, timeout=max(within, 0.0))
        return (
            task.result() if task.done() else Failure(FailureClass.TIMEOUT, f"no status within {within:g} s")
        )

    async def _make(self, key: bytes, auth: CallbackAuth) -> Own | Failure:
        try:
            # Reading the system's authorities takes time.
            context = await asyncio.to_thread(context_of, auth, self._ca_file)
        except (OSError, ValueError, RuntimeError) as error:
            if is_shortage(error) or isinstance(error, RuntimeError):
                return Failure(FailureClass.SHORTAGE, f"loading a client certificate: {type(error).__name__}")
            reason = error.reason if isinstance(error, ssl.SSLError) else ""
            return _unusable(f"the client certificate cannot be used: {reason or type(error).__name__}")
        client = await self._client.apart(context).__aenter__()
        own = Own(client, Tokens(client.fetch), self._clock())
        self._kept[key] = own
        return own

    async def _close_unused(self) -> None:
        """Close those that nobody uses, the least recently used first: their abonnementen may be gone."""
        now = self._clock()
        while self._kept:
            key, first = next(iter(self._kept.items()))
            if first.users or (now - first.used < IDLE and len(self._kept) <= MAX_KEPT):
                return
            del self._kept[key]
            await _close(first)


def judged(answer: Response | Failure, auth: CallbackAuth, *, now: float | None = None) -> Response | Failure:
    """The answer; CLIENT_CERTIFICATE_EXPIRED where that may be why there was no connection.

    now: Unix seconds.
    """
    if not isinstance(answer, Failure) or answer.kind not in _NO_CONNECTION or not auth.client_certificate:
        return answer
    now = time.time() if now is None else now
    facts = auth.client_certificate.facts
    if facts is None or facts.is_valid(now):
        return answer
    moment = facts.ends if now >= facts.ends else facts.begins
    when = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")
    told = f"ended on {when}" if now >= facts.ends else f"begins on {when}"
    return Failure(FailureClass.CLIENT_CERTIFICATE_EXPIRED, f"{told}; {answer.in_words}"[:200])


def context_of(auth: CallbackAuth, file: Path | None) -> ssl.SSLContext:
    """How connections to its callback are made. file: of authorities besides the system's. Raises OSError."""
    own = auth.client_certificate
    return presenting(
        certificate=own.certificate if own else "",
        key=own.key if own else "",
        authorities=auth.ca,
        file=file,
    )


def _key_of(auth: CallbackAuth) -> bytes:
    """A hash of all that a connection is made with; with the key, since a certificate alone is no secret."""
    own = auth.client_certificate
    found = hashlib.sha256()
    for text in (own.certificate, own.key, auth.ca) if own else ("", "", auth.ca):
        found.update(b"%d " % len(text) + text.encode())
    return found.digest()


def _unusable(why: str) -> Failure:
    return Failure(FailureClass.INVALID_REQUEST, why)


async def _close(own: Own) -> None:
    await own.tokens.close()
    await own.client.__aexit__(None, None, None)
