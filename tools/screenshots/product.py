"""The product that pictures are taken of: `nrc up` in a folder of its own, and what comes in meanwhile."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import jwt
from yarl import URL

from tools.screenshots.filling import SECRET, Filled

STARTS_WITHIN, STOPS_WITHIN = 300.0, 60.0  # seconds
ARRIVES_WITHIN = 60  # seconds
RETRIES = "2,30,300,1800,7200,14400,28800,28800"


@dataclass(frozen=True, slots=True)
class Product:
    """What runs. api, console, inbox: their addresses, with a slash at the end."""

    api: str
    console: str
    inbox: str
    filled: Filled


def environment(folder: Path) -> dict[str, str]:
    """Without the settings of whoever runs this; on the ports of a fresh installation, if they are free."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NRC_")}
    return kept | {"NRC_STATE_DIR": str(folder), "NRC_RETRY_SCHEDULE": RETRIES, "TZ": "Europe/Amsterdam"}


@asynccontextmanager
async def running(folder: Path, filled: Filled) -> AsyncIterator[Product]:
    """`nrc up` on what this folder holds, for as long as the context is open. Raises RuntimeError."""
    up = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "nrc", "up", "--no-demo"),
        env=environment(folder),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=(folder / "up.log").open("wb"),
    )
    said, reading = "", None
    try:
        assert up.stdout is not None
        async with asyncio.timeout(STARTS_WITHIN):
            while "NRC ready:" not in said:
                line = await up.stdout.readline()
                if not line:
                    raise RuntimeError(f"nrc up ended:\n{said}\n{(folder / 'up.log').read_text()}")
                said += line.decode()
        reading = asyncio.create_task(up.stdout.read())  # so that it never waits for a reader
        api, console, inbox = (
            re.search(rf"^ *{name} +(\S+)", said, re.MULTILINE)[1].rstrip("/") + "/"  # type: ignore[index]
            for name in ("API", "Console", "Inbox")
        )
        yield Product(api, console, inbox, filled)
    finally:
        if up.returncode is None:
            up.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOPS_WITHIN):
            await up.wait()
        if reading is not None:
            reading.cancel()


async def fill_inbox(product: Product) -> str:
    """Have four notificaties arrive at an inbox, the first of them twice; the address of its page."""
    async with aiohttp.ClientSession() as session:

        async def call(method: str, url: str, data: Any = None, *, of: str = "") -> Any:
            headers = {"Authorization": f"Bearer {_token(of)}"} if of else {}
            async with session.request(method, url, json=data, headers=headers) as answer:
                if answer.status >= 400:
                    raise RuntimeError(f"{method} {url}: {answer.status} {await answer.text()}")
                return await answer.json() if answer.content_type.endswith("json") else None

        async with session.get(product.inbox, allow_redirects=False) as answer:
            page = str(answer.url.join(URL(answer.headers["Location"])))
        asked = {
            "callbackUrl": page,
            "auth": "Token proef",
            "kanalen": [{"naam": "besluiten", "filters": {"besluittype": "Proef"}}],
        }
        await call("POST", f"{product.api}abonnement", asked, of="proef")
        await call("PUT", f"{page}/settings", {"status": 503})
        await call("POST", f"{product.api}notificaties", _besluit(1), of="proef")
        await call("GET", f"{page}/requests?since=2&wait={ARRIVES_WITHIN}")
        await call("PUT", f"{page}/settings", {"status": 204})
        for number in (2, 3, 4):
            await call("POST", f"{product.api}notificaties", _besluit(number), of="proef")
        for since in (3, 4, 5, 6):
            await call("GET", f"{page}/requests?since={since}&wait={ARRIVES_WITHIN}")
    return page


def _besluit(number: int) -> dict[str, Any]:
    besluit = f"https://openzaak.gemeente.example.nl/besluiten/api/v1/besluiten/{number}"
    return {
        "kanaal": "besluiten",
        "hoofdObject": besluit,
        "resource": "besluit",
        "resourceUrl": besluit,
        "actie": "create",
        "aanmaakdatum": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kenmerken": {"verantwoordelijkeOrganisatie": "517439943", "besluittype": "Proef"},
    }


def _token(client: str) -> str:
    return jwt.encode({"client_id": client, "iat": int(time.time())}, SECRET, algorithm="HS256")
