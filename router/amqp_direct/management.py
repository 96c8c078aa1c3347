"""RabbitMQ's HTTP API (the management plugin), as far as users and permissions need it.

Its user needs the tag `administrator`, since RabbitMQ lets no other make users. Only the router uses it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from router.amqp_direct.passwords import ALGORITHM
from runtime.trust import trusting
from schemas.errors import BrokerUnavailable
from schemas.urls import read_url

WITHIN = 5.0  # seconds for one request


class Management:
    """RabbitMQ's HTTP API at `url`, which has user and password. Open it with `async with`.

    vhost: ours. ca_file: authorities that its certificate is checked against, besides the system's.
    """

    def __init__(self, url: str, *, vhost: str, ca_file: Path | None = None) -> None:
        parts = read_url(url)
        self._root = str(parts.with_user(None).with_query(None)).rstrip("/")
        credentials = f"{parts.user or ''}:{parts.password or ''}".encode()
        self._headers = {"Authorization": "Basic " + base64.b64encode(credentials).decode()}
        self._vhost = quote(vhost, safe="")
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trusting(self._ca_file) or True),
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=WITHIN),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def users(self) -> dict[str, Mapping[str, Any]]:
        """Every user of this RabbitMQ by name: password_hash, tags, limits and more."""
        return {each["name"]: each for each in await self._call("GET", "users")}

    async def rights(self) -> dict[str, dict[str, str]]:
        """By user what it may do in our virtual host: configure, write and read, each a regex."""
        found = await self._call("GET", f"vhosts/{self._vhost}/permissions")
        return {each["user"]: {name: each[name] for name in ("configure", "write", "read")} for each in found}

    async def put_user(self, name: str, password_hash: str) -> None:
        """Make the user, without a tag, or give it this password."""
        asked = {"password_hash": password_hash, "hashing_algorithm": ALGORITHM, "tags": ""}
        await self._call("PUT", f"users/{quote(name, safe='')}", asked)

    async def put_rights(self, name: str, rights: Mapping[str, str]) -> None:
        """Let it do this in our virtual host, and nothing else there."""
        await self._call("PUT", f"permissions/{self._vhost}/{quote(name, safe='')}", dict(rights))

    async def put_limit(self, name: str, limit: str, value: int) -> None:
        """Limit its connections (max-connections) or channels (max-channels)."""
        await self._call("PUT", f"user-limits/{quote(name, safe='')}/{limit}", {"value": value})

    async def remove_user(self, name: str) -> None:
        """Remove the user and close its connections; nothing when there is none."""
        await self._call("DELETE", f"users/{quote(name, safe='')}")

    async def _call(self, method: str, path: str, asked: Mapping[str, Any] | None = None) -> Any:
        """The answer. Raises BrokerUnavailable."""
        try:
            async with self._session.request(
                # Encoded already: a virtual host may be called `/`.
                *(method, URL(f"{self._root}/api/{path}", encoded=True)),
                json=asked,
                allow_redirects=False,
            ) as response:
                if response.status == 404 and method == "DELETE":
                    return None
                if response.status not in (200, 201, 204):
                    said = f"RabbitMQ's HTTP API answered {response.status} to {method} {path}"
                    raise BrokerUnavailable(said + _why(response.status))
                return await response.json() if method == "GET" else None
        except TimeoutError:
            raise BrokerUnavailable(f"RabbitMQ's HTTP API gave no answer within {WITHIN:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise BrokerUnavailable(f"RabbitMQ's HTTP API cannot be used: {error}") from error


def _why(status: int) -> str:
    if status in (401, 403):
        return "; is the password in NRC_RABBITMQ_MANAGEMENT_URL right, and its user an administrator?"
    return ""
