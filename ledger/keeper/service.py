"""The keeper process: what it opens, in which order, and how it stops.

It starts and goes on while the ledger cannot be opened or RabbitMQ is away, and works once they are back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext, suppress
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

from ledger.keeper.counting import Counting
from ledger.keeper.giving_back.binding import Binding
from ledger.keeper.giving_back.giving import AGAIN, Giving
from ledger.keeper.giving_back.queue_room import MOST_READY, REST, Room
from ledger.keeper.lane import ANY_NUMBER, Lane
from ledger.keeper.lease import RENEWAL, SECONDS, Lease
from ledger.keeper.left_behind import LeftBehind
from ledger.keeper.loop import LONGEST_PAUSE, PAUSE, KeeperLoop
from ledger.keeper.losses.gaps import Gaps
from ledger.keeper.losses.judging import PATIENCE, Patience
from ledger.keeper.losses.lost import AFTER_AWAY, EVERY, Lost
from ledger.keeper.losses.registry_changes import LOOK_AGAIN, ChangedKanalen
from ledger.keeper.losses.unrouted import SETTLED, Unrouted
from ledger.keeper.older_copy import EVERY as MARK_EVERY
from ledger.keeper.older_copy import Marking
from ledger.keeper.parts import Parts
from ledger.keeper.replays import Replays
from ledger.keeper.shedding import EVERY as SHED_EVERY
from ledger.keeper.shedding import Shedding
from ledger.keeper.undeliverable.dead_letters import DeadLetters
from ledger.keeper.undeliverable.removed_abonnementen import SETTLED as REMOVED_SETTLED
from ledger.keeper.undeliverable.removed_abonnementen import Removed
from ledger.keeper.undeliverable.retention import Retention
from ledger.keeper.undeliverable.trimming import Trimming
from ledger.reopening import ReopenedLedger
from router.catalogue import Catalogue
from router.publishing import Publisher
from router.requests import RouterClient
from runtime.amqp import Link
from runtime.health import serve_health
from runtime.lifecycle import Tasks
from runtime.log import logger
from runtime.settings import Settings
from schemas.errors import RegistryError, RegistryInUse, RegistryTooNew, SecretsUnreadable
from store.opening import registry_of

REGISTRY_PATIENCE = 0.5  # seconds; the next pass tries again, and a stop must not wait for a lock
REGISTRY_AT_START = 10.0  # seconds, at least, for which it is tried at the start: others may be starting too
REGISTRY_AGAIN = 0.25  # seconds between two tries
LAST = 2.0  # seconds of NRC_STOP_TIMEOUT that are kept for closing

log = logger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits that tests lower; times are in seconds. Each is documented at its default."""

    lease: float = SECONDS
    renewal: float = RENEWAL
    again: float = AGAIN
    rest: float = REST
    most_ready: int = MOST_READY
    settled: float = SETTLED
    removed: float = REMOVED_SETTLED
    mark: float = MARK_EVERY
    looks: float = EVERY
    after_away: float = AFTER_AWAY
    patience: Patience = PATIENCE
    shed: float = SHED_EVERY
    look_again: float = LOOK_AGAIN
    retention: float | None = None
    pause: float = PAUSE
    longest_pause: float = LONGEST_PAUSE


async def serve(
    settings: Settings,
    *,
    stop: asyncio.Event,
    ready: Callable[[], None],
    limits: Limits = Limits(),
    observe: Callable[[Parts], AbstractAsyncContextManager[object]] = nullcontext,
) -> None:
    """Keep the ledger until `stop`. Raises NrcError for what prevents it from working at all.

    observe: opened around its work, with its parts.
    """
    async with AsyncExitStack() as opened:
        registry = await _patiently(
            lambda: opened.enter_async_context(registry_of(settings, patience=REGISTRY_PATIENCE)), stop
        )
        catalogue = Catalogue(registry, refresh_interval=settings.refresh_interval)
        ledger = await opened.enter_async_context(ReopenedLedger.of(settings))
        publisher = Publisher(settings.amqp_url, name="ledger", mandatory=True)
        lease = Lease(seconds=limits.lease, renewal=limits.renewal)
        room = Room(publisher, most=limits.most_ready, rest=limits.rest)
        giving = Giving(
            publisher=publisher,
            lease=lease,
            room=room,
            kanalen=lambda: catalogue.kanalen,
            pulled=catalogue.pulled,
            again=limits.again,
        )
        binding = Binding(RouterClient(publisher.link))
        removed = Removed(catalogue, settled=limits.removed)
        keeper = KeeperLoop(
            ledger=ledger,
            publisher=publisher,
            lease=lease,
            giving=giving,
            marking=Marking(registry=registry, lease=lease, every=limits.mark),
            left_behind=LeftBehind(settings.registry_file.parent),
            removed=removed,
            unrouted=Unrouted(
                giving=giving,
                registry=registry,
                lease=lease,
                catalogue=catalogue,
                removed=removed,
                settled=limits.settled,
            ),
            changed=ChangedKanalen(
                registry=registry, catalogue=catalogue, lease=lease, again=limits.look_again
            ),
            gaps=Gaps(
                giving=giving, registry=registry, lease=lease, catalogue=catalogue, settled=limits.settled
            ),
            lost=Lost(
                giving=giving,
                lease=lease,
                room=room,
                publisher=publisher,
                catalogue=catalogue,
                binding=binding,
                every=limits.looks,
                after_away=limits.after_away,
                patience=limits.patience,
            ),
            replays=Replays(lease=lease, catalogue=catalogue),
            pause=limits.pause,
            longest_pause=limits.longest_pause,
        )
        lane = Lane(
            ledger=ledger,
            lease=lease,
            giving=Giving(
                publisher=publisher,
                lease=lease,
                room=Room(publisher, most=ANY_NUMBER, rest=limits.rest),
                kanalen=lambda: catalogue.kanalen,
                pulled=catalogue.pulled,
                again=limits.again,
            ),
            catalogue=catalogue,
            publisher=publisher,
        )
        link = Link(settings.amqp_url, name="ledger")
        dead_letters = DeadLetters(
            link,
            ledger=ledger,
            lease=lease,
            catalogue=catalogue,
            removed=removed,
            binding=binding,
            patience=limits.patience,
            again=limits.again,
        )
        retention = Retention(
            settings,
            ledger=ledger,
            lease=lease,
            catalogue=catalogue,
            trimming=Trimming(link, lease=lease, catalogue=catalogue),
            interval=limits.retention,
        )
        await _patiently(catalogue.refresh, stop)
        counting = Counting(ledger=ledger, lease=lease, catalogue=catalogue)
        shedding = Shedding(settings, ledger=ledger, lease=lease, every=limits.shed)

        def warnings() -> list[str]:
            return keeper.warnings() + shedding.warnings()

        await opened.enter_async_context(
            serve_health(settings.health_listen, keeper.not_ready, warnings=warnings)
        )
        parts = Parts(
            settings=settings,
            ledger=ledger,
            catalogue=catalogue,
            lease=lease,
            giving=giving,
            dead_letters=dead_letters,
            publisher=publisher,
            not_ready=keeper.not_ready,
            warnings=warnings,
        )
        await opened.enter_async_context(observe(parts))
        tasks = await opened.enter_async_context(Tasks())
        tasks.start("registry", catalogue.run())
        tasks.start("publishing", publisher.run())
        tasks.start("binding again", binding.run())
        tasks.start("shedding", shedding.run())
        tasks.start("counting", counting.run())
        tasks.start("dead letters", dead_letters.run())
        tasks.start("retention", retention.run())
        tasks.start("lane for bulk", lane.run(stop))
        keeping = tasks.start("keeping", keeper.run(stop))
        ready()
        await tasks.run_until(stop)
        await asyncio.wait({keeping}, timeout=max(settings.stop_timeout - LAST, settings.stop_timeout / 2))
    log.info("stopped", dead_letters=dead_letters.count, **giving.counts)


async def _patiently(attempt: Callable[[], Awaitable[T]], stop: asyncio.Event) -> T:
    """What `attempt` returns; it is tried for REGISTRY_AT_START while the registry cannot be used.

    Raises its RegistryError: at once when trying again does not help, or after `stop`.
    """
    until = monotonic() + REGISTRY_AT_START
    told = False
    while True:
        try:
            return await attempt()
        except RegistryError as error:
            # OSError: a folder or a file that cannot be used at all, not one that is locked or being made.
            lasts = isinstance(error, RegistryInUse | RegistryTooNew | SecretsUnreadable)
            lasts = lasts or isinstance(error.__cause__, OSError)
            if lasts or stop.is_set() or monotonic() > until:
                raise
            if not told:
                log.warning("waiting for the registry", reason=str(error), at_most_s=REGISTRY_AT_START)
                told = True
        with suppress(TimeoutError):
            async with asyncio.timeout(REGISTRY_AGAIN):
                await stop.wait()
