"""What the Autorisaties API (AC) says of each client, as this gateway knows it, and for how long that counts.

One question at a time for each client id: whoever needs its answer meanwhile waits for the same one. Does no
HTTP, and knows no requests.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from gateway.autorisaties.answers import Found, name_of
from gateway.autorisaties.asking import AcFailed, Outcome
from runtime.lifecycle import cancelled
from runtime.log import logger
from runtime.metrics.histogram import LATENCIES, Histogram
from schemas.errors import ServiceUnavailable

FRESH = 60.0  # seconds for which an answer counts without another question
FRESH_UNKNOWN = 5.0  # seconds for an answer that there is no such client: it may be made any moment
UNWAITED = 60.0
"""Seconds after that in which nobody waits for a new answer: the last one counts while it is asked for."""
UNWAITED_CHANGED = 0.5
"""The same after a notificatie that says that it changed."""
LAST_KNOWN = 24 * 3600.0  # seconds for which an answer counts while no question is answered
PAUSE = 2.0  # seconds without questions after one that failed
KEPT_FOR = 3600.0  # seconds after which the same answer is kept again, as one of that moment
SPACING = 0.2  # seconds between two questions about one client
AT_ONCE = 10  # questions; others wait for their turn
PATIENCE = 12.0  # seconds that a request waits at most: two questions
RETRY_AFTER = 5  # seconds; for what recovers by itself
RETRY_AFTER_WRONG = 60  # seconds; for what an operator must repair first

log = logger(__name__)


class Asks(Protocol):
    """Asks the AC."""

    async def ask(self, client_id: str) -> Found: ...


@dataclass(slots=True)
class _Client:
    """What is known of a client id. Times are of the monotonic clock.

    found: the last answer; asked: when its question began. unwaited_until: until when nobody waits.
    failure: why the last question failed. again: when the next one may be asked. changed: a notificatie came
    since the question under way began. told: whether the log has its failure. kept: the answer that the
    registry has, as far as this gateway knows; kept_at: when it was told of it.
    """

    client_id: str
    found: Found | None = None
    name: str = ""
    asked: float = 0.0
    fresh_until: float = 0.0
    unwaited_until: float = 0.0
    failure: AcFailed | None = None
    again: float = 0.0
    asking: asyncio.Task[None] | None = None
    changed: bool = False
    told: bool = False
    kept: Found | None = None
    kept_at: float = 0.0


class Rights:
    """`of` is for each request; `changed` for notificaties about an applicatie.

    Counts `outcomes`, the `seconds` of questions, and `stale`: answers that were used although the AC gives
    no newer one. `unkept` is set when there is something to keep: `to_keep`.
    """

    def __init__(self, ac: Asks, *, clock: Callable[[], float] = monotonic, spacing: float = SPACING) -> None:
        self._ac = ac
        self._clock = clock
        self._spacing = spacing
        self._clients: dict[str, _Client] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._failure: AcFailed | None = None  # of all clients, since an answer came
        self._failing_since = 0.0
        self._again = 0.0
        self._unkept: dict[str, _Client] = {}
        self.unkept = asyncio.Event()
        self.outcomes: Counter[Outcome] = Counter()
        self.seconds = Histogram(LATENCIES)
        self.stale = 0

    @property
    def why_not(self) -> str:
        """Why the AC tells nothing now; "" while it does."""
        return f"{self._failure.outcome}: {self._failure}" if self._failure is not None else ""

    async def of(self, client_id: str) -> Found:
        """What the AC says of this client. Raises ServiceUnavailable while that is not known."""
        one = self._clients.get(client_id)
        if one is None:
            one = self._clients[client_id] = _Client(client_id)
        now = self._clock()
        if one.found is not None and now < one.fresh_until:
            return one.found
        asking = self._ask(one)
        known = self._last_known(one)
        failing = one.failure is not None or self._failure is not None
        if known is None or (not failing and now >= one.unwaited_until):
            if asking is not None:
                await asyncio.wait({asking}, timeout=PATIENCE)
                if asking.done():
                    asking.result()
            if one.found is not None and self._clock() < one.fresh_until:
                return one.found
            known = self._last_known(one)
        if known is None:
            raise _unavailable(one.failure or self._failure)
        if one.failure is not None or self._failure is not None:
            self.stale += 1
        return known

    def changed(self, name: str, *, gone: bool) -> None:
        """An applicatie was made, changed or (gone) removed. name: as of `name_of`.

        What is known of its clients is asked for again now; that the AC knew none, at its next use. A removed
        one is forgotten at once.
        """
        now = self._clock()
        self._again = 0.0  # the AC is alive
        for one in self._clients.values():
            its = one.found is not None and one.found.known and one.name in (name, "")
            if not its and one.found is not None and one.found.known:
                continue
            one.fresh_until = one.again = 0.0
            one.changed = True
            one.unwaited_until = min(one.unwaited_until, now + UNWAITED_CHANGED)
            if its and gone:
                one.found = None
                self._keep(one)
            elif its:
                self._ask(one)

    def missed(self) -> None:
        """Notificaties may have been missed: everything is asked for again at its next use."""
        now = self._clock()
        for one in self._clients.values():
            one.fresh_until = 0.0
            one.changed = True
            one.unwaited_until = min(one.unwaited_until, now + UNWAITED_CHANGED)

    def known_before(self, client_id: str, found: Found, *, age: float) -> None:
        """What was said of a client `age` seconds ago, to another gateway or before this one started."""
        if client_id not in self._clients:
            now = self._clock()
            self._clients[client_id] = _Client(
                client_id, found, name_of(found.url), asked=now - age, kept=found, kept_at=now - age
            )

    def to_keep(self) -> list[tuple[str, Found | None, float]]:
        """(client id, what the AC said of it last or None when that is forgotten, how long ago in seconds).

        Those since the last call.
        """
        self.unkept.clear()
        unkept, self._unkept = self._unkept, {}
        now = self._clock()
        return [(each.client_id, self._last_known(each), now - each.asked) for each in unkept.values()]

    def _keep(self, one: _Client) -> None:
        found = one.found if one.found is not None and one.found.known else None
        if found != one.kept or (found is not None and self._clock() - one.kept_at > KEPT_FOR):
            one.kept, one.kept_at = found, self._clock()
            self._unkept[one.client_id] = one
            self.unkept.set()

    async def close(self) -> None:
        """Ask nothing more."""
        for one in self._clients.values():
            if one.asking is not None:
                await cancelled(one.asking)

    def _last_known(self, one: _Client) -> Found | None:
        """The last answer, where it may count still: not that there is no such client."""
        found = one.found
        if found is None or not found.known or self._clock() - one.asked > LAST_KNOWN:
            return None
        return found

    def _ask(self, one: _Client) -> asyncio.Task[None] | None:
        """The question under way, or a new one; None while none is asked after a failure."""
        if one.asking is None or one.asking.done():
            if self._clock() < max(one.again, self._again):
                return None
            one.asking = asyncio.create_task(self._question(one), name="asking the Autorisaties API")
        return one.asking

    async def _question(self, one: _Client) -> None:
        """Ask, and once more when it changed meanwhile."""
        again = True
        while again:
            async with self._turns:
                if self._failure is not None and self._clock() < self._again:
                    one.failure = self._failure  # another question failed while this one waited
                    return
                one.changed = False
                await self._one_question(one)
            if again := one.changed:
                await asyncio.sleep(self._spacing)

    async def _one_question(self, one: _Client) -> None:
        began = self._clock()
        try:
            found = await self._ac.ask(one.client_id)
        except AcFailed as failure:
            self.outcomes[failure.outcome] += 1
            self._failed(one, failure)
        else:
            self.outcomes[Outcome.FOUND if found.known else Outcome.UNKNOWN] += 1
            self._answered(one, found, began)
        self.seconds.observe(self._clock() - began)

    def _answered(self, one: _Client, found: Found, began: float) -> None:
        if self._failure is not None:
            seconds = round(self._clock() - self._failing_since)
            log.info("the Autorisaties API answers again", seconds=seconds)
        if one.told:
            log.info("the Autorisaties API tells of a client again", client=one.client_id)
        one.told, one.failure, one.again = False, None, 0.0
        self._failure, self._again = None, 0.0
        one.found, one.asked, one.name = found, began, name_of(found.url)
        self._keep(one)
        if not one.changed:
            one.fresh_until = began + (FRESH if found.known else FRESH_UNKNOWN)
            one.unwaited_until = one.fresh_until + UNWAITED

    def _failed(self, one: _Client, failure: AcFailed) -> None:
        now = self._clock()
        one.failure, one.again = failure, now + PAUSE
        facts = {"outcome": failure.outcome.value, "reason": str(failure), "known": self._known()}
        if not failure.everyone:
            if not one.told:
                log.warning("the Autorisaties API tells nothing of a client", client=one.client_id, **facts)
            one.told = True
            return
        if self._failure is None:
            self._failing_since = now
        if self._failure is None or self._failure.outcome is not failure.outcome:
            log.warning("the Autorisaties API tells nothing", **facts)
        self._failure, self._again = failure, now + PAUSE

    def _known(self) -> int:
        """Of how many clients the last answer counts."""
        return sum(self._last_known(each) is not None for each in self._clients.values())


def _unavailable(failure: AcFailed | None) -> ServiceUnavailable:
    """What a client is told of which nothing is known."""
    if failure is None or failure.outcome is Outcome.AWAY:
        why, then, seconds = "antwoordt nu niet", "Probeer het zo opnieuw.", RETRY_AFTER
    else:
        why = "weigert onze vraag" if failure.outcome is Outcome.REFUSED else "geeft een onbruikbaar antwoord"
        then, seconds = "De beheerder kan dit herstellen; de reden staat in het log.", RETRY_AFTER_WRONG
    return ServiceUnavailable(
        f"De rechten van deze applicatie staan in de Autorisaties API, en die {why}. Daardoor is niet bekend "
        f"wat zij mag; er is niets aangenomen. {then}",
        retry_after=seconds,
    )
