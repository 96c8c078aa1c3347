"""Kanaal and abonnementen of a load, made and removed through the standard's API alone.

The standard removes no kanaal, so every run takes the same one, and it stays.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import orjson
from yarl import URL

from nrc.cli.benching.callbacks import FOLDER
from nrc.cli.benching.load import KENMERKEN
from nrc.cli.publishing.sender import explain
from nrc.cli.terminal.output import note, printable
from nrc.exits import GatewayUnreachable
from nrc.temporary_client import client_of
from schemas.application import Application, Scope
from schemas.errors import NrcError

REMOVAL_TIMEOUT = 10.0  # seconds for each abonnement: whoever pressed Ctrl-C waits for it


class BenchRefused(NrcError):
    """The NRC refuses what a load needs; the text says what, why, and what to do."""


@contextmanager
def reaching(base: URL) -> Iterator[None]:
    """What the HTTP client raises within becomes GatewayUnreachable."""
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        why = str(error) or type(error).__name__
        raise GatewayUnreachable(f"no NRC at {base}: {why}. Its address: --against") from None


def refused(step: str, client: Application, right: Scope, *, status: int, body: bytes) -> BenchRefused:
    """Why a request of this client was refused, and what to do about it."""
    told = f"{step}: {printable(explain(status, body))}"
    if status in (401, 403):
        return BenchRefused(f"{told}. Is the secret of client {client.client_id} right, and may it {right}?")
    if status in (404, 405):
        return BenchRefused(
            f"{told}. --against is the base URL of the API, as https://nrc.example.nl/api/v1/"
        )
    return BenchRefused(told)


async def _ask(
    client: Application,
    right: Scope,
    base: URL,
    method: str,
    path: str,
    *,
    step: str,
    expected: int,
    **more: Any,
) -> Any:
    """The JSON of the answer. Raises BenchRefused for another status, GatewayUnreachable for none."""
    with reaching(base):
        async with (
            client_of(client, base, name="bench") as session,
            session.request(method, path, allow_redirects=False, **more) as answer,
        ):
            body = await answer.read()
    if answer.status != expected:
        raise refused(step, client, right, status=answer.status, body=body)
    try:
        return orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        raise BenchRefused(f"{step}: {base} answers with something that is no JSON. Is it the API?") from None


async def make_kanaal(publisher: Application, base: URL, naam: str, *, documentation: str) -> bool:
    """Make the kanaal unless it is there; whether it was made. Raises BenchRefused when it does not fit."""
    found = await _ask(
        publisher, Scope.PUBLICEREN, base, "GET", "kanaal", step="asking for the kanaal", expected=200,
        params={"naam": naam},
    )  # fmt: skip
    kanalen = [each for each in _listed(found) if each.get("naam") == naam]
    if not kanalen:
        kanaal = {"naam": naam, "documentatieLink": documentation, "filters": list(KENMERKEN)}
        await _ask(
            publisher, Scope.PUBLICEREN, base, "POST", "kanaal", step="the kanaal", expected=201, json=kanaal
        )
        return True
    filters = kanalen[0].get("filters") or []
    if {*filters} != {*KENMERKEN}:
        raise BenchRefused(
            f"kanaal {naam} is there already, with filters {', '.join(map(str, filters)) or 'none'} in place "
            f"of {', '.join(KENMERKEN)}: give another name with --kanaal"
        )
    return False


@asynccontextmanager
async def abonnementen(
    consumer: Application, base: URL, naam: str, *, callbacks: Mapping[str, str], reached: str
) -> AsyncIterator[None]:
    """An abonnement on the kanaal for each callbackUrl, with its auth, while the context is open.

    What a killed run left on this kanaal is removed first. reached: for the error when a callback is refused.
    """
    for left in await _of_runs(consumer, base, naam):
        if await _remove(consumer, base, left):
            note(f"removed an abonnement that a killed `nrc bench` left: {left}")
    made: list[str] = []
    try:
        for url, auth in callbacks.items():
            content = {"callbackUrl": url, "auth": auth, "kanalen": [{"naam": naam, "filters": {}}]}
            try:
                answer = await _ask(
                    consumer, Scope.CONSUMEREN, base, "POST", "abonnement", step="the abonnement",
                    expected=201, json=content,
                )  # fmt: skip
            except BenchRefused as error:
                raise BenchRefused(f"{error}. {reached}") from None
            made.append(_place(answer))
        yield
    finally:
        for each in made:
            await _remove(consumer, base, each)


async def _of_runs(consumer: Application, base: URL, naam: str) -> list[str]:
    found = await _ask(
        consumer, Scope.CONSUMEREN, base, "GET", "abonnement", step="asking for abonnementen", expected=200
    )
    return [
        _place(each)
        for each in _listed(found)
        if f"/{FOLDER}/" in str(each.get("callbackUrl"))
        and [kanaal.get("naam") for kanaal in each.get("kanalen", [])] == [naam]
    ]


async def _remove(consumer: Application, base: URL, uuid: str) -> bool:
    """Remove an abonnement, and say on standard error when that failed."""
    try:
        await _ask(
            consumer, Scope.CONSUMEREN, base, "DELETE", f"abonnement/{uuid}", step="removing it",
            expected=204, timeout=aiohttp.ClientTimeout(total=REMOVAL_TIMEOUT),
        )  # fmt: skip
    except NrcError as error:
        note(f"abonnement {uuid} is not removed: {error}")
        return False
    return True


def _place(abonnement: Any) -> str:
    """Its UUID: the URL may be of another host than the one that is used here."""
    try:
        return URL(abonnement["url"]).name
    except (KeyError, TypeError, ValueError):
        raise BenchRefused(
            "the abonnement: the answer has no `url`. Is this the Notificaties API 1?"
        ) from None


def _listed(found: Any) -> list[dict[str, Any]]:
    """The things of a list, whether in pages (`results`) or not."""
    listed = found.get("results", []) if isinstance(found, dict) else found
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
