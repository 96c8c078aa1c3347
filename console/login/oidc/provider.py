"""The OpenID provider: its discovery document, a code exchanged for who logs in, and logging out there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from yarl import URL

from console.login.oidc.addresses import BACK, LOGIN
from console.login.oidc.attempt import Attempt
from console.login.oidc.claims import groups_of, has_claim, identity_of
from console.login.oidc.faults import AWAY, BUSY, OVER, WRONG, LoginFailed
from console.login.oidc.id_token import OtherKey, check_id_token
from console.login.oidc.keys import Keys
from console.login.oidc.requests import ProviderRequests, endpoint
from runtime.settings import Settings
from schemas.user import Identity

FRESH = 3600.0
"""Seconds for which a discovery document is used without another look."""
PATIENCE, PATIENCE_OUT = 20.0, 3.0
"""Seconds that somebody waits for the provider: who logs in, who logs out."""
MOST_AT_ONCE = 20
"""Codes that are exchanged at once in this process."""
MAX_HINT = 4096
"""Characters of an id_token that is kept to log out with: a longer one makes too long an address."""
_TEXT = 200  # characters of an error of the provider in the log


@dataclass(frozen=True, slots=True)
class Discovered:
    """What the discovery document says. userinfo, end_session: "" where there is none.

    says_issuer: whether each answer names its issuer (RFC 9207). by_post: whether the client secret is taken
    in the form only.
    """

    authorization: str
    token: str
    jwks: str
    userinfo: str
    end_session: str
    says_issuer: bool
    by_post: bool


@dataclass(frozen=True, slots=True)
class Found:
    """Who logged in, and their groups. id_token: to log out with, or ""."""

    identity: Identity
    groups: Sequence[str]
    id_token: str = field(repr=False)


class Provider:
    """The provider that the settings name. Nothing is asked of it until somebody logs in."""

    def __init__(self, settings: Settings) -> None:
        self.issuer = settings.console_oidc_issuer
        self.contact = settings.console_oidc_contact
        self.redirect_uri = settings.console_public_url + BACK
        self.after_logout = settings.console_public_url + LOGIN
        self._settings = settings
        self._secret = settings.oidc_client_secret
        self._requests = ProviderRequests(settings)
        self._keys = Keys(self._requests)
        self._discovered: Discovered | None = None
        self._looked = 0.0
        self._looking = asyncio.Lock()
        self._exchanging = 0

    async def __aenter__(self) -> Self:
        await self._requests.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._requests.__aexit__(kind, error, trace)

    async def discovered(self) -> Discovered:
        """Its discovery document. Raises LoginFailed while it is away, or when it is another provider's."""
        async with _in_time(PATIENCE), self._looking:
            if self._discovered is None or time.monotonic() - self._looked > FRESH:
                url = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
                self._discovered = _read(await self._requests.get(url), self.issuer)
                self._looked = time.monotonic()
            return self._discovered

    async def login_url(self, attempt: Attempt) -> str:
        """Where to send a browser to log in. Raises LoginFailed."""
        found = await self.discovered()
        return str(
            prepare_grant_uri(
                found.authorization,
                self._settings.console_oidc_client_id,
                "code",
                redirect_uri=self.redirect_uri,
                scope=self._settings.console_oidc_scopes,
                state=attempt.state,
                nonce=attempt.nonce,
                code_challenge=create_s256_code_challenge(attempt.verifier),  # type: ignore[no-untyped-call]
                code_challenge_method="S256",
            )
        )

    async def exchange(self, code: str, attempt: Attempt, *, now: float) -> Found:
        """Who this code is of. now: Unix seconds. Raises LoginFailed for everything that is not well."""
        if self._exchanging >= MOST_AT_ONCE:
            raise LoginFailed(BUSY, f"{MOST_AT_ONCE} logins are being finished")
        self._exchanging += 1
        try:
            async with _in_time(PATIENCE):
                return await self._exchange(code, attempt, now=now)
        finally:
            self._exchanging -= 1

    async def _exchange(self, code: str, attempt: Attempt, *, now: float) -> Found:
        found = await self.discovered()
        tokens = await self._tokens(found, code, attempt)
        claims = await self._checked(found, tokens, attempt, now=now)
        identity = identity_of(claims, issuer=self.issuer)
        path = self._settings.console_oidc_groups_claim
        if not has_claim(claims, path) and found.userinfo:
            claims = {**claims, **await self._userinfo(found, tokens, identity)}
            identity = identity_of(claims, issuer=self.issuer)
        hint = tokens["id_token"]
        return Found(identity, groups_of(claims, path), hint if len(hint) <= MAX_HINT else "")

    async def logout_url(self, id_token: str) -> str:
        """Where to send a browser to log out of the provider too; "" where it cannot be said now."""
        try:
            async with _in_time(PATIENCE_OUT):
                found = await self.discovered()
        except LoginFailed:
            return ""
        if not found.end_session:
            return ""
        hint = {"id_token_hint": id_token} if id_token else {}
        asked = {
            "client_id": self._settings.console_oidc_client_id,
            "post_logout_redirect_uri": self.after_logout,
        }
        return str(URL(found.end_session).update_query({**hint, **asked}))

    async def _tokens(self, found: Discovered, code: str, attempt: Attempt) -> Mapping[str, Any]:
        client_id = self._settings.console_oidc_client_id
        if not self._secret:
            auth = ClientAuth(client_id, None, "none")
        elif found.by_post:
            auth = ClientAuth(client_id, self._secret, "client_secret_post")
        else:  # percent-encoded: RFC 6749, section 2.3.1
            auth = ClientAuth(quote(client_id, safe=""), quote(self._secret, safe=""), "client_secret_basic")
        body = prepare_token_request(
            "authorization_code", code=code, redirect_uri=self.redirect_uri, code_verifier=attempt.verifier
        )
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        _, headers, body = auth.prepare("POST", found.token, headers, body)  # type: ignore[no-untyped-call]
        answer = await self._requests.post(found.token, body=body, headers=headers)
        if "error" in answer:
            told = f"{answer['error']!s:.{_TEXT}}: {answer.get('error_description', '')!s:.{_TEXT}}"
            used = answer["error"] == "invalid_grant"
            raise LoginFailed(OVER if used else WRONG, f"{found.token} refused the code: {told}")
        if not isinstance(answer.get("id_token"), str) or not isinstance(answer.get("access_token"), str):
            raise LoginFailed(WRONG, f"{found.token} gave no id_token; are the scopes right?")
        return answer

    async def _checked(
        self, found: Discovered, tokens: Mapping[str, Any], attempt: Attempt, *, now: float
    ) -> Mapping[str, Any]:
        keys = await self._keys.get(found.jwks)
        for last in (False, True):
            try:
                return check_id_token(
                    tokens["id_token"],
                    keys,
                    issuer=self.issuer,
                    client_id=self._settings.console_oidc_client_id,
                    nonce=attempt.nonce,
                    access_token=tokens["access_token"],
                    now=now,
                )
            except OtherKey as error:
                if last:
                    raise LoginFailed(WRONG, f"the id_token was signed with another key: {error}") from None
                keys = await self._keys.look_again(found.jwks, keys)
        raise AssertionError("unreachable")

    async def _userinfo(
        self, found: Discovered, tokens: Mapping[str, Any], identity: Identity
    ) -> Mapping[str, Any]:
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        claims = await self._requests.get(found.userinfo, headers=headers)
        if claims.get("sub") != identity.subject:  # else a token of somebody else would give their groups
            raise LoginFailed(WRONG, f"{found.userinfo} tells of another sub")
        return claims


@asynccontextmanager
async def _in_time(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise LoginFailed(AWAY, f"the provider needs over {seconds:g} s") from None


def _read(document: Mapping[str, Any], issuer: str) -> Discovered:
    if document.get("issuer") != issuer:
        raise LoginFailed(
            WRONG,
            f"the discovery document is of issuer {document.get('issuer')!s:.{_TEXT}}; "
            "NRC_CONSOLE_OIDC_ISSUER must be the same, character by character",
        )
    names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
    found = {name: endpoint(document.get(name), issuer=issuer) for name in names}
    for name, url in found.items():
        if not url:
            raise LoginFailed(WRONG, f"the discovery document has no {name}, or one without https")
    methods = document.get("token_endpoint_auth_methods_supported")
    taken = methods if isinstance(methods, list) else ["client_secret_basic"]  # the default of the standard
    return Discovered(
        found["authorization_endpoint"],
        found["token_endpoint"],
        found["jwks_uri"],
        endpoint(document.get("userinfo_endpoint"), issuer=issuer),
        endpoint(document.get("end_session_endpoint"), issuer=issuer),
        document.get("authorization_response_iss_parameter_supported") is True,
        "client_secret_post" in taken and "client_secret_basic" not in taken,
    )
