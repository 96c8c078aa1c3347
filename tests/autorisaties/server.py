"""An Autorisaties API for tests: what Open Zaak answers to `GET /applicaties/consumer`, over HTTP.

    async with AutorisatiesApi() as ac:
        ac.put("zrc", scopes=["notificaties.publiceren"])
        ... Settings(**ac.settings()) ...

It checks the token and the scope of who asks. It can be stopped and started again on the same port, made to
wait (`flowing`), and made to answer anything (`answer_with`).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from uuid import UUID, uuid4

import jwt
from aiohttp import web

ROOT = "/autorisaties/api/v1"
OURS, SECRET = "nrc", "geheim van de nrc bij de autorisaties api"
ABOUT = {"user_id": str, "user_representation": str}


@dataclass
class Applicatie:
    """One applicatie, with its autorisaties as (component, scopes)."""

    client_ids: list[str]
    granted: list[tuple[str, list[str]]] = field(default_factory=list)
    all_rights: bool = False
    uuid: UUID = field(default_factory=uuid4)

    def url(self, root: str) -> str:
        return f"{root}/applicaties/{self.uuid}"

    def as_json(self, root: str) -> dict[str, Any]:
        return {
            "url": self.url(root),
            "clientIds": self.client_ids,
            "label": f"Applicatie van {self.client_ids[0]}",
            "heeftAlleAutorisaties": self.all_rights,
            "autorisaties": [
                {"component": component, "componentWeergave": component.upper(), "scopes": scopes}
                for component, scopes in self.granted
            ],
            "eenVeldVanOneGround": {"toelichting": None},
        }


class AutorisatiesApi:
    """The server; `asked` counts the questions by client id."""

    def __init__(self) -> None:
        self.applicaties: list[Applicatie] = [Applicatie([OURS], [("ac", ["autorisaties.lezen"])])]
        self.asked: Counter[str] = Counter()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.answer_with: web.Response | None = None
        self.waiting = 0
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}{ROOT}"

    def settings(self) -> dict[str, str]:
        """What a gateway is told of it."""
        return {"ac_url": self.root, "ac_client_id": OURS, "ac_secret": SECRET}

    def put(self, client_id: str, *, scopes: list[str] | None = None, all_rights: bool = False) -> Applicatie:
        """The applicatie with this client, with these scopes on component nrc from now on."""
        granted = [("zrc", ["zaken.lezen"]), ("nrc", scopes)] if scopes is not None else []
        for each in self.applicaties:
            if client_id in each.client_ids:
                each.granted, each.all_rights = granted, all_rights
                return each
        self.applicaties.append(made := Applicatie([client_id], granted, all_rights))
        return made

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flowing.set()
        await self.stop()

    async def start(self) -> None:
        """Listen, on the port that it had before."""
        app = web.Application()
        app.router.add_get(ROOT + "/applicaties/consumer", self._consumer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Answer nobody any more: connections are refused."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _consumer(self, request: web.Request) -> web.Response:
        client_id = request.query.get("clientId", "")
        self.asked[client_id] += 1
        self.waiting += 1
        await self.flowing.wait()
        self.waiting -= 1
        if self.answer_with is not None:
            again = self.answer_with
            return web.Response(status=again.status, body=again.body, headers=again.headers)
        if (refusal := self._refusal(request)) is not None:
            return refusal
        if set(request.query) != {"clientId"}:
            return problem(400, "invalid", "Ongeldige invoer.")
        found = [each for each in self.applicaties if client_id in each.client_ids]
        found = [each for each in found if each.all_rights != bool(each.granted)]  # the others are left out
        if len(found) > 1:
            return problem(500, "error", "Internal Server Error")
        if not found:
            return problem(404, "not_found", "Niet gevonden.")
        return web.json_response(found[0].as_json(self.root))

    def _refusal(self, request: web.Request) -> web.Response | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"require": ["iat"]})
        except jwt.PyJWTError:
            return problem(403, "invalid-jwt-signature", "Client credentials zijn niet geldig.")
        fresh = abs(time.time() - claims["iat"]) < 60
        typed = all(isinstance(claims.get(name), kind) for name, kind in ABOUT.items())
        if scheme != "Bearer" or not fresh or not typed or claims["iss"] != claims["client_id"]:
            return problem(403, "jwt-expired", "Het token is verlopen.")
        may = any(
            claims["client_id"] in each.client_ids and ("ac", ["autorisaties.lezen"]) in each.granted
            for each in self.applicaties
        )
        if not may:
            return problem(403, "permission_denied", "Je hebt geen toestemming om deze actie uit te voeren.")
        return None


def problem(status: int, code: str, title: str) -> web.Response:
    """An error as the components of Common Ground give it."""
    content = {
        "type": f"http://127.0.0.1/ref/fouten/{code}/",
        "code": code,
        "title": title,
        "status": status,
        "detail": title,
        "instance": f"urn:uuid:{uuid4()}",
    }
    return web.json_response(content, status=status, content_type="application/problem+json")
