"""Access tokens for callbacks that ask for OAuth2 client credentials (RFC 6749, section 4.4).

Kept in memory, by all that a token depends on, until shortly before they end; asked for once at a time. What
goes wrong has failures of its own, so that nobody takes them for an answer of the callback.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any
from urllib.parse import quote_plus, urlencode

from deliverer.http.client import Failure, FailureClass, Fetched
from runtime.memory.bounded import Bounded
from schemas.callback_auth import OAuth2, SecretIn

TIMEOUT = 10.0  # seconds for a token, at most; the time of the attempt is a limit too
MAX_ANSWER = 64 * 1024  # bytes
MAX_TOKEN = 16 * 1024  # characters
UNKNOWN_LIFE = 300.0  # seconds that a token counts whose end is not told
MAX_LIFE = 24 * 3600.0  # seconds
MARGIN = 30.0  # seconds before its end at which a token is not used any more, or a tenth of a short life
FAILED_FOR = 1.0  # seconds in which the token endpoint is not asked again after a failure
YOUNG = 10.0  # seconds in which a token that a callback refuses is not replaced: another would be refused too
MAX_KEPT = 10_000

_TOKEN = re.compile(r"[\x21-\x7e]+")
_CODE = re.compile(r"[a-z_]{1,50}")

Fetch = Callable[..., Awaitable["Fetched | Failure"]]


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the token endpoint said last. since, until: monotonic seconds."""

    answer: str | Failure
    since: float
    until: float


class Tokens:
    """The tokens of one process. fetch: as `CallbackClient.fetch`. clock: monotonic seconds."""

    def __init__(self, fetch: Fetch, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._kept: Bounded[OAuth2, _Kept] = Bounded(MAX_KEPT)
        self._asking: dict[OAuth2, asyncio.Task[str | Failure]] = {}

    async def token(self, of: OAuth2, *, within: float) -> str | Failure:
        """A token, or why there is none. within: seconds."""
        kept = self._kept.get(of)
        if kept is not None and self._clock() < kept.until:
            return kept.answer
        task = self._asking.get(of)
        if task is None:
            task = asyncio.create_task(self._ask(of), name="asking for a token")
            self._asking[of] = task
            task.add_done_callback(lambda _: self._asking.pop(of, None))
        # Others may wait for the same one: it goes on when this one is cancelled or has no time left.
        await asyncio.wait({task}, timeout=max(within, 0.0))
        if not task.done():
            return _away(f"no token within {within:.3g} s")
        return task.result()

    def refused(self, of: OAuth2, token: str) -> bool:
        """Forget a token that a callback refused; whether another attempt with a new one makes sense."""
        kept = self._kept.get(of)
        if kept is None or isinstance(kept.answer, Failure) or not compare_digest(kept.answer, token):
            return True
        if self._clock() - kept.since < YOUNG:
            return False
        del self._kept[of]
        return True

    async def close(self) -> None:
        """Ask no more."""
        for task in (tasks := [*self._asking.values()]):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, of: OAuth2) -> str | Failure:
        headers, form = request_for(of)
        fetched = await self._fetch(
            of.token_url, body=form, headers=headers, timeout=TIMEOUT, most=MAX_ANSWER
        )
        answer, life = read_token(fetched)
        now = self._clock()
        self._kept[of] = _Kept(answer, now, now + life)
        return answer


def request_for(of: OAuth2) -> tuple[dict[str, str], bytes]:
    """The headers and the form of a request for a token. Pure."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    form = {"grant_type": "client_credentials"}
    if of.scope:
        form["scope"] = of.scope
    if of.audience:
        form["audience"] = of.audience
    if not of.secret:
        # RFC 8705, section 2: the certificate of the connection is what proves who asks.
        form["client_id"] = of.client_id
    elif of.secret_in is SecretIn.BODY:
        form |= {"client_id": of.client_id, "client_secret": of.secret}
    else:
        # RFC 6749, section 2.3.1: both are encoded as in a form first.
        pair = f"{quote_plus(of.client_id)}:{quote_plus(of.secret)}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return headers, urlencode(form).encode()


def read_token(fetched: Fetched | Failure) -> tuple[str | Failure, float]:
    """What the token endpoint's answer says, and for how many seconds that counts. Pure."""
    if isinstance(fetched, Failure):
        if fetched.kind is FailureClass.SHORTAGE:
            return fetched, 0.0
        return _away(fetched.in_words, rule=fetched.rule), FAILED_FOR
    status = fetched.status
    if status in (400, 401, 403):
        code = _field(fetched.body, "error")
        told = f" ({code})" if isinstance(code, str) and _CODE.fullmatch(code) else ""
        return _failure(FailureClass.TOKEN_REFUSED, f"answered {status}{told}"), FAILED_FOR
    if status >= 500 or status in (408, 429):
        return _away(f"answered {status}"), FAILED_FOR
    if status != 200:
        return _nonsense(f"answered {status}"), FAILED_FOR
    token, kind = _field(fetched.body, "access_token"), _field(fetched.body, "token_type")
    if not isinstance(token, str) or len(token) > MAX_TOKEN or _TOKEN.fullmatch(token) is None:
        return _nonsense("answered 200 without a usable access_token"), FAILED_FOR
    if kind is not None and str(kind).lower() != "bearer":
        return _nonsense("answered 200 with a token_type other than Bearer"), FAILED_FOR
    return token, _life(_field(fetched.body, "expires_in"))


def _life(told: Any) -> float:
    """For how many seconds a token is used. told: its expires_in, which some servers write as a text."""
    try:
        life = float(told)
    except (TypeError, ValueError, OverflowError):  # the last for an integer of hundreds of digits
        life = UNKNOWN_LIFE
    if not life > 0:  # also of NaN
        return 0.0
    life = min(life, MAX_LIFE)
    return life - min(MARGIN, life / 10)


def _field(body: bytes, name: str) -> Any:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found.get(name) if isinstance(found, dict) else None


def _failure(kind: FailureClass, told: str) -> Failure:
    return Failure(kind, f"token endpoint: {told}"[:200])


def _away(told: str, **rule: Any) -> Failure:
    return Failure(FailureClass.TOKEN_UNREACHABLE, f"token endpoint: {told}"[:200], **rule)


def _nonsense(told: str) -> Failure:
    return _failure(FailureClass.TOKEN_INVALID, told)
