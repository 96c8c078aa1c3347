"""A router, a kanaal, and a ledger that a test fills as gateways do, for tests of the keeper."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
from aio_pika.abc import AbstractIncomingMessage

from ledger.ids import new_id
from ledger.keeper.losses.judging import Patience
from ledger.keeper.service import Limits, serve
from ledger.ledger import Ledger
from ledger.values import Delivery, Entry, Key, State, Unrouted
from router import names
from schemas.abonnement import Abonnement
from schemas.kanaal import Kanaal
from tests.integration.conftest import Running, running
from tests.make import an_abonnement

PATIENCE = Patience(ahead=1000, apart=500, pauses=(500, 600, 700))
SHORT = Limits(
    lease=2.0, renewal=0.3, again=2.0, rest=0.5, settled=0.3, removed=0.3, pause=0.1, longest_pause=0.3
)


@dataclass
class Kept:
    """A router, a kanaal, and a ledger that a test fills as gateways do."""

    router: Running
    ledger: Ledger
    kanaal: Kanaal

    def keeper(self, **changes: Any) -> AbstractAsyncContextManager[None]:
        """A keeper in this process."""
        limits = Limits(**{**{name: getattr(SHORT, name) for name in Limits.__slots__}, **changes})
        return running(serve, self.router.settings, limits=limits)

    def looking(self, **changes: Any) -> AbstractAsyncContextManager[None]:
        """A keeper that does not wait for long until something is lost."""
        return self.keeper(**{"looks": 0.2, "after_away": 0.1, "patience": PATIENCE, **changes})

    async def subscribe(self) -> Abonnement:
        """An abonnement on the kanaal, with its queue."""
        added = await self.router.registry.add_abonnement(an_abonnement((self.kanaal.naam, {})))
        await self.router.client.apply_abonnement(added.uuid)
        return added

    async def accept(self, *matched: Abonnement, mark: bool = True, **changes: Any) -> Entry:
        """A notificatie that a gateway accepted without RabbitMQ."""
        kenmerken = {"zaaktype": "Z1"}
        body = orjson.dumps({"kanaal": self.kanaal.naam, "number": str(uuid4()), "kenmerken": kenmerken})
        id_ = new_id()
        entry = Entry(
            id=id_,
            received=id_.int >> 80,
            client="test",
            kanaal=self.kanaal.naam,
            resource="zaak",
            actie="create",
            hoofd_object="https://zaken.example.nl/1",
            resource_url="https://zaken.example.nl/1",
            kenmerken=kenmerken,
            body=body,
            catalogue=1_000_000,
            matched=tuple(each.uuid for each in matched),
            hops=2,
        )
        entry = replace(entry, **changes)
        await self.ledger.write([entry, Unrouted(entry.id)] if mark else [entry])
        return entry

    async def row(self, entry: Entry, abonnement: Abonnement) -> Delivery:
        found = await self.ledger.delivery(Key(entry.id, abonnement.uuid))
        assert found is not None
        return found

    async def taken(self, abonnement: Abonnement) -> list[AbstractIncomingMessage]:
        return await self.router.taken(names.abonnement_queue(abonnement.uuid))

    async def all_routed(self) -> bool:
        return await self.ledger.keeping.unrouted_count() == 0

    async def states(self, entry: Entry) -> dict[UUID, tuple[State, int]]:
        rows = (await self.ledger.deliveries([entry.id]))[entry.id]
        return {row.key.abonnement: (row.state, row.round) for row in rows}

    async def is_(self, entry: Entry, abonnement: Abonnement, expected: tuple[State, int]) -> bool:
        """Whether its delivery is in this state and round."""
        return (await self.states(entry)).get(abonnement.uuid) == expected


@asynccontextmanager
async def process(kept: Kept, **changes: float) -> AsyncIterator[Process]:
    """A keeper as a process of its own, at work or waiting."""
    times = {name: getattr(SHORT, name) for name in Limits.__slots__ if name != "patience"} | changes
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.ledger.keeper_process", json.dumps(times),
        cwd=Path(__file__).parents[3],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "NRC_AMQP_URL": kept.router.settings.amqp_url[0],
            "NRC_STATE_DIR": str(kept.router.settings.state_dir),
        },
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert started.stdout
    try:
        assert await asyncio.wait_for(started.stdout.readline(), 30) == b"ready\n"
        yield started
    finally:
        if started.returncode is None:
            started.send_signal(signal.SIGCONT)
            started.send_signal(signal.SIGKILL)
        await started.wait()
        started._transport.close()  # type: ignore[attr-defined]


async def holder(kept: Kept) -> tuple[str, int]:
    lease = await kept.ledger.keeping.lease()
    return ("", 0) if lease is None else (lease.holder.split()[1], lease.epoch)


async def works(kept: Kept, which: Process) -> bool:
    return (await holder(kept))[0] == str(which.pid)
