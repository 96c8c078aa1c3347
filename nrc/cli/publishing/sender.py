"""Posts notificaties to a gateway: many at once, with retries when it asks for that."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from nrc.cli.publishing.notificatie_files import Item, Items
from nrc.exits import GatewayUnreachable
from schemas.errors import NrcError

if TYPE_CHECKING:
    import aiohttp

ANSWER_TIMEOUT = 30.0  # seconds
LONGEST_PAUSE = 60.0  # seconds, whatever Retry-After says
NO_ANSWER_PAUSE = 0.5  # seconds

TRY_AGAIN = frozenset({429, 503})
# Wrong for one notificatie means wrong for all: the token, or the address.
REFUSES_ALL = frozenset({401, 403, 404, 405})


class RefusedAll(NrcError):
    """The gateway refuses all of these notificaties; the text says why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for one notificatie. problem: "" when it was accepted. id: the gateway's id of it."""

    where: str
    status: int | None
    problem: str = ""
    id: str = ""


class Sender:
    """Posts to one URL. authorization: returns the header's value, called before each request.

    patience: seconds for which each is tried. stopped: set to the reason when nothing more should be sent.
    """

    def __init__(
        self, session: aiohttp.ClientSession, url: str, *, authorization: Callable[[], str], patience: float
    ) -> None:
        self._session = session
        self._url = url
        self._authorization = authorization
        self._patience = patience
        self._answered = False
        self._last_accepted = time.monotonic()
        self.stopped: NrcError | None = None

    async def send(self, item: Item) -> Outcome:
        """Post until there is a final answer or `patience` has passed.

        When an answer was lost it posts again, so a notificatie may be accepted twice. Raises
        GatewayUnreachable when there was never an answer.
        """
        started = time.monotonic()
        while True:
            outcome, pause = await self._post(item)
            if pause is None:
                return outcome
            if time.monotonic() + pause > started + self._patience:
                self._give_up(outcome, since=started)
                return outcome
            await asyncio.sleep(pause)

    def _give_up(self, outcome: Outcome, *, since: float) -> None:
        """Stop everything when nothing was accepted at all while this one was tried."""
        if not self._answered:
            raise GatewayUnreachable(f"no gateway at {self._url}: {outcome.problem}. Its address: --url")
        if self._last_accepted < since:
            self.stopped = GatewayUnreachable(f"{self._url} takes nothing now: {outcome.problem}")

    async def _post(self, item: Item) -> tuple[Outcome, float | None]:
        """(the result, seconds until the next try; None when it is final)."""
        import aiohttp

        headers = {"Authorization": self._authorization(), "Content-Type": "application/json"}
        try:
            async with self._session.post(
                self._url, data=item.body, headers=headers, allow_redirects=False
            ) as answer:
                body = await answer.read()
        except aiohttp.ClientConnectorError as error:
            number = error.os_error.errno
            reason = os.strerror(number) if number else str(error.os_error)
            if not self._answered:
                raise GatewayUnreachable(
                    f"no gateway at {self._url}: {reason}. Is it running? Its address: --url"
                ) from error
            return Outcome(item.where, None, reason), NO_ANSWER_PAUSE
        except (aiohttp.ClientError, TimeoutError) as error:
            return Outcome(item.where, None, f"no answer ({type(error).__name__})"), NO_ANSWER_PAUSE
        self._answered = True
        if answer.status == 201:
            self._last_accepted = time.monotonic()
            return Outcome(item.where, 201, id=answer.headers.get("nrc-notificatie-id", "")), None
        outcome = Outcome(item.where, answer.status, explain(answer.status, body))
        if answer.status in REFUSES_ALL:
            self.stopped = RefusedAll(f"{self._url} refuses all: {outcome.problem}")
        return outcome, retry_after(answer.headers.get("Retry-After")) if answer.status in TRY_AGAIN else None


def retry_after(header: str | None) -> float:
    """The seconds of a Retry-After; 1 when it has no seconds."""
    return min(float(header), LONGEST_PAUSE) if header is not None and header.isdecimal() else 1.0


def explain(status: int, body: bytes) -> str:
    """An error answer on one line: the faults of its fields, or its detail."""
    try:
        problem: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        problem = None
    if not isinstance(problem, dict):
        return f"{status}"
    params = problem.get("invalidParams")
    faults = [
        f"{param.get('name')}: {param.get('reason')}"
        for param in (params if isinstance(params, list) else [])
        if isinstance(param, dict)
    ]
    told = "; ".join(faults) or problem.get("detail") or problem.get("title") or ""
    return f"{status} {problem.get('code', '')}: {told}".rstrip(": ")


async def send_all(items: Items, sender: Sender, *, at_once: int, tell: Callable[[Outcome], None]) -> None:
    """Send each, `at_once` at a time; the first alone, so that a wrong address or token gives one error.

    tell: called with the result of each that was begun, also when this is cancelled. Raises
    GatewayUnreachable and RefusedAll; the rest was then not sent.
    """
    turn = asyncio.Lock()

    async def take() -> Item | None:
        if items.total is not None:
            return next(items.each, None)
        # From a pipe the next line may take a while.
        async with turn:
            return await asyncio.to_thread(next, items.each, None)

    async def one() -> bool:
        if sender.stopped is not None or (item := await take()) is None:
            return False
        try:
            tell(await sender.send(item))
        except asyncio.CancelledError:
            tell(Outcome(item.where, None, "stopped while it was under way; it may have been accepted"))
            raise
        return True

    async def work() -> None:
        while await one():
            pass

    if await one():
        async with asyncio.TaskGroup() as workers:
            for number in range(at_once):
                workers.create_task(work(), name=f"sending {number}")
    if sender.stopped is not None:
        raise sender.stopped
