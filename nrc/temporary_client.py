"""A client of the API for as long as a demo or a command runs: its HTTP session, and what it was answered."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from yarl import URL

from schemas.application import Application, zgw_token
from schemas.errors import NrcError


class UnexpectedAnswer(NrcError):
    """The API answered something else than was needed; the text says to what, and why."""


@asynccontextmanager
async def client_of(
    application: Application, root: URL, *, name: str
) -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client with a token of now, as any component has. name: what the token calls its user."""
    token = zgw_token(
        application.client_id,
        application.secret,
        now=int(time.time()),
        user_id=name,
        user_representation=name.capitalize(),
    )
    async with aiohttp.ClientSession(
        root, headers={"Authorization": f"Bearer {token}"}, timeout=aiohttp.ClientTimeout(total=30)
    ) as client:
        yield client


async def expect(request: Any, status: int, step: str) -> aiohttp.ClientResponse:
    """The answer, which must have this status. Raises UnexpectedAnswer with the reason in the answer."""
    answer: aiohttp.ClientResponse
    async with request as answer:
        text = await answer.text()
        if answer.status != status:
            raise UnexpectedAnswer(f"{step}: answered {answer.status} instead of {status}: {_reason(text)}")
        return answer


def _reason(text: str) -> str:
    """The text of a problem, on one line."""
    try:
        problem = json.loads(text)
        faults = [f"{fault['name']}: {fault['reason']}" for fault in problem.get("invalidParams", [])]
        return "; ".join(faults) or f"{problem['detail']} ({problem['code']})"
    except (ValueError, KeyError, TypeError, AttributeError):
        return text[:200]
