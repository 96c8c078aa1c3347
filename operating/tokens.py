"""Tokens of an application, for whoever tries something out: in today's form, or in that of 2019. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.application import Application, Scope, signed


def make_token(
    application: Application,
    *,
    now: int,
    scopes: Iterable[Scope] = (),
    legacy: bool = False,
    expires: int | None = None,
) -> str:
    """A JWT made at `now` (Unix seconds). scopes: none means all that the application may be granted."""
    named = sorted(scopes)
    claims: dict[str, object] = {"iat": now}
    if expires is not None:
        claims["exp"] = now + expires
    headers = {}
    if legacy:
        headers["client_identifier"] = application.client_id
        from_here = not (application.scopes_from_token or application.scopes_from_ac)
        named = named or sorted(application.scopes if from_here else Scope)
        claims["zds"] = {"scopes": [_spelled_in_2019(scope) for scope in named]}
    else:
        claims |= {"iss": application.client_id, "client_id": application.client_id}
        claims |= {"user_id": "", "user_representation": ""}
        if application.scopes_from_token:
            named = named or sorted(Scope)
        if named:
            claims["zds"] = {"scopes": named}
    return signed(claims, application.secret, headers)


def _spelled_in_2019(scope: Scope) -> str:
    return scope.replace("notificaties.", "notificaties.scopes.", 1)
