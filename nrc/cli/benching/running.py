"""One run of a load: kanaal and abonnementen, the load itself, and the wait for what is to come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import uuid4

import aiohttp
from yarl import URL

from nrc.cli.benching.account import ACCEPTED, Account
from nrc.cli.benching.callbacks import FOLDER, Callbacks
from nrc.cli.benching.load import message, send_each
from nrc.cli.benching.standard import BenchRefused, abonnementen, make_kanaal, reaching, refused
from nrc.cli.publishing.sender import TRY_AGAIN, retry_after
from operating.tokens import make_token
from runtime.settings import Listen
from schemas.application import Application, Scope

ANSWER_TIMEOUT = 30.0  # seconds
TOKEN_AGE = 300.0  # seconds after which another is made: NRCs refuse old ones
POLL = 0.05  # seconds between two looks at whether all has arrived
LINGER = 1.0  # seconds for what comes twice, after all has arrived
NO_ANSWER_PAUSE = 0.5  # seconds, so that an NRC that is away is not asked as fast as possible


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of a run. count or seconds: how much; rate: 0 is as fast as it goes, at_once at a time.

    patience: seconds without an arrival after which what is still missing counts as lost.
    """

    base: URL
    publisher: Application
    consumer: Application
    kanaal: str
    documentation: str
    abonnementen: int
    listen: Listen
    callback_url: str | None
    count: int | None
    seconds: float | None
    rate: float
    at_once: int
    token_each: bool
    patience: float


@dataclass(slots=True)
class Run:
    """What became of a load, also while it runs. cpu: seconds that this process used, in `wall` seconds."""

    account: Account
    kanaal_made: bool = False
    sending: bool = False
    ended: bool = False
    cpu: float = 0.0
    wall: float = 0.0
    checks: int = 0
    tell: Callable[[str], None] = field(default=lambda _: None)


async def carry_out_load(load: Load, run: Run) -> None:
    """Make what it needs, send all, wait, and remove what was made; also when it is cancelled.

    Raises BenchRefused and GatewayUnreachable.
    """
    callbacks = Callbacks()
    number = uuid4().hex[:12]
    async with callbacks.served(load.listen, load.callback_url) as root:
        run.kanaal_made = await make_kanaal(
            load.publisher, load.base, load.kanaal, documentation=load.documentation
        )
        urls = {
            str(root / FOLDER / number / str(abonnement)): callbacks.auth
            for abonnement in range(load.abonnementen)
        }
        reached = (
            f"The NRC must reach this command at {root}: --listen is where it listens, --callback-url is "
            "its address for the NRC"
        )
        async with abonnementen(load.consumer, load.base, load.kanaal, callbacks=urls, reached=reached):
            run.checks = callbacks.checks
            run.tell(
                f"loading {load.base}: kanaal {load.kanaal}, {load.abonnementen} abonnement(en) at {root}"
            )
            async with _session(load.at_once) as session:
                publisher = _Publisher(load, session)
                await _first(load, publisher, callbacks, f"{number}first", reached)
                callbacks.accounts[number] = run.account
                await _measured(load, publisher, run, number)
        run.ended = True


def _session(at_once: int) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=at_once),
        timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT),
        auto_decompress=False,
    )


async def _first(load: Load, publisher: _Publisher, callbacks: Callbacks, run: str, reached: str) -> None:
    """One notificatie beforehand, which must be accepted and arrive: connections and caches are warm then."""
    account = callbacks.accounts[run] = Account(load.abonnementen)
    with reaching(load.base):
        status, answer, _ = await publisher.post(account, run)
    if status != ACCEPTED:
        raise refused(
            "the first notificatie", load.publisher, Scope.PUBLICEREN, status=int(status), body=answer
        )
    await _all_arrived(account, load.patience)
    if account.missing:
        raise BenchRefused(
            f"the first notificatie was accepted, and {account.missing} of {load.abonnementen} callbacks did "
            f"not get it within {load.patience:g} s ({callbacks.refused} requests came without the "
            f"Authorization of the abonnement). {reached}; --patience waits longer"
        )


async def _measured(load: Load, publisher: _Publisher, run: Run, number: str) -> None:
    async def send(_: int) -> float:
        try:
            status, _body, pause = await publisher.post(run.account, number)
        except (aiohttp.ClientError, TimeoutError):
            return NO_ANSWER_PAUSE
        return pause if int(status) in TRY_AGAIN else 0.0

    run.sending = True
    began, cpu = time.monotonic(), time.process_time()
    try:
        await send_each(send, at_once=load.at_once, count=load.count, seconds=load.seconds, rate=load.rate)
    finally:
        run.sending = False
        run.wall, run.cpu = time.monotonic() - began, time.process_time() - cpu
    await _all_arrived(run.account, load.patience)
    await asyncio.sleep(LINGER)


async def _all_arrived(account: Account, patience: float) -> None:
    """Return when nothing is missing, or nothing has arrived for `patience` seconds."""
    arrivals, since = account.arrivals, time.monotonic()
    while account.missing and time.monotonic() < since + patience:
        await asyncio.sleep(POLL)
        if account.arrivals != arrivals:
            arrivals, since = account.arrivals, time.monotonic()


class _Publisher:
    """POSTs notificaties as the publisher's client, each counted in an account."""

    def __init__(self, load: Load, session: aiohttp.ClientSession) -> None:
        self._load = load
        self._session = session
        self._url = load.base / "notificaties"
        self._token = (-TOKEN_AGE, "")

    async def post(self, account: Account, run: str) -> tuple[str, bytes, float]:
        """(the status, the body, the seconds of its Retry-After). Raises what the HTTP client does."""
        number = account.posted(time.monotonic())
        headers = {"Authorization": self._authorization(), "Content-Type": "application/json"}
        try:
            async with self._session.post(
                self._url,
                data=message(self._load.kanaal, number, run=run),
                headers=headers,
                allow_redirects=False,
            ) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            account.answered(number, f"no answer ({type(error).__name__})", time.monotonic())
            raise
        account.answered(number, str(answer.status), time.monotonic())
        return str(answer.status), body, retry_after(answer.headers.get("Retry-After"))

    def _authorization(self) -> str:
        now = time.monotonic()
        if self._load.token_each or now - self._token[0] >= TOKEN_AGE:
            self._token = (now, f"Bearer {make_token(self._load.publisher, now=int(time.time()))}")
        return self._token[1]
