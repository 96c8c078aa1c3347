"""A provider that answers what a test wants: wrong tokens, wrong keys, nothing at all."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.registry import HeaderParameter

from tests.contract.api import free_socket

CLIENT = "nrc-console"
RSA = RSAKey.generate_key(2048, parameters={"kid": "rsa"})
OTHER = RSAKey.generate_key(2048, parameters={"kid": "other"})
EC = ECKey.generate_key("P-256", parameters={"kid": "ec"})


@dataclass
class Misbehaving:
    """A provider. Each part of its answers may be set.

    document, claims: what is other than it should be; a None leaves a member out. keys: those that it
    publishes. answers: in place of its own, by path. asked: how often, by path. hanging: paths that get no
    answer until the test is over.
    """

    root: str
    document: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    keys: list[Key] = field(default_factory=lambda: [RSA])
    key: Key = field(default_factory=lambda: RSA)
    algorithm: str = "RS256"
    header: dict[str, Any] = field(default_factory=dict)
    nonce: str = ""
    answers: dict[str, web.Response] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    forms: list[Mapping[str, str]] = field(default_factory=list)
    hanging: set[str] = field(default_factory=set)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def id_token(self) -> str:
        """The id_token that it gives now."""
        return id_token(
            self.root,
            self.nonce,
            key=self.key,
            algorithm=self.algorithm,
            header=self.header,
            **self.claims,
        )

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Any request."""
        path = request.path
        self.asked[path] += 1
        if path in self.hanging:
            await self.over.wait()
        if path in self.answers:
            given = self.answers[path]
            return web.Response(body=given.body, status=given.status, headers={"Location": "/jwks"})
        if path == "/.well-known/openid-configuration":
            names = {"authorization": "authorize", "token": "token", "userinfo": "userinfo"}
            found = {f"{name}_endpoint": f"{self.root}/{at}" for name, at in names.items()}
            found |= {"issuer": self.root, "jwks_uri": f"{self.root}/jwks", **self.document}
            return web.json_response({name: value for name, value in found.items() if value is not None})
        if path == "/jwks":
            return web.json_response({"keys": [key.as_dict(private=False) for key in self.keys]})
        if path == "/userinfo":
            return web.json_response(self.userinfo)
        self.forms.append(dict(await request.post()))  # type: ignore[arg-type]
        token = {"access_token": "opaque", "token_type": "Bearer", "id_token": self.id_token()}
        return web.json_response(token)


def id_token(
    issuer: str,
    nonce: str,
    /,
    *,
    key: Key = RSA,
    algorithm: str = "RS256",
    header: Mapping[str, Any] | None = None,
    **claims: object,
) -> str:
    """An id_token of anna, a beheerder. claims: other ones; a None leaves one out."""
    now = int(time.time())
    good = {"iss": issuer, "aud": CLIENT, "sub": "anna-7", "exp": now + 300, "iat": now, "nonce": nonce}
    every = {**good, "preferred_username": "anna", "groups": ["nrc-beheer"], **claims}
    content = {name: value for name, value in every.items() if value is not None}
    # With a header that it does not know the library makes no token.
    registry = JWSRegistry({"x": HeaderParameter("of a test", "int")}, [algorithm])
    return jwt.encode({"alg": algorithm, "kid": key.kid, **(header or {})}, content, key, registry=registry)


@asynccontextmanager
async def misbehaving_provider() -> AsyncIterator[Misbehaving]:
    """One that listens, and for now behaves."""
    sock = free_socket()
    provider = Misbehaving("http://{}:{}".format(*sock.getsockname()))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", provider.answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.SockSite(runner, sock).start()
    try:
        yield provider
    finally:
        provider.over.set()
        await runner.cleanup()
