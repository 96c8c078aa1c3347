"""What does the ledger cost, and how fast is it asked? CPU and bytes of a notificatie, and queries."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg

from ledger.ids import new_id
from ledger.ledger import Ledger
from ledger.opening import ledger_at, open_ledger
from ledger.tables.rows import last_segment
from ledger.values import Entry, Key, Outcome, Search, State
from operating.status.collecting import read_ledger
from store.database.address import address_at
from store.secrets import Vault

AT_ONCE = 200  # notificaties, and outcomes, in a transaction of which the cost is told
IN_BULK = 5000  # and in one of those that fill it for the queries
ABONNEMENTEN = 100
RATE = 0.7  # notificaties in a millisecond, so that a minute has 42,000 of them and a second 700
BODY = 700  # bytes
OPEN = 0.01  # of the deliveries are left open


def ledger(options: argparse.Namespace) -> None:
    """CPU and bytes of a notificatie at several fan-outs, then the queries at `--count` of them."""
    asyncio.run(_ledger(options))


async def _ledger(options: argparse.Namespace) -> None:
    print(f"a notificatie, with an outcome of each delivery, {AT_ONCE} in a transaction; CPU of the process:")
    url = options.database
    for fan_out, kenmerken in ((1, 0), (1, 3), (3, 3), (10, 3)):
        await _cost(url, fan_out, kenmerken, count=20_000 // fan_out)
    async with _a_store(url) as store, store.opened as opened:
        filling = _Filling(opened, fan_out=options.abonnementen, kenmerken=3, at_once=IN_BULK)
        start = time.perf_counter()
        await filling.fill(options.count)
        took = time.perf_counter() - start
        print(
            f"{options.count} notificaties to {options.abonnementen} abonnement(en) each, written in "
            f"{took:.0f} s; queries, median wall clock and CPU:"
        )
        await _queries(opened, filling)


class _Filling:
    """Notificaties that are written, with their outcomes; `cpu` has the seconds that each took."""

    def __init__(self, opened: Ledger, *, fan_out: int, kenmerken: int, at_once: int = AT_ONCE) -> None:
        self._ledger = opened
        self._fan_out, self._kenmerken, self._at_once = fan_out, kenmerken, at_once
        self._random = random.Random(1)
        self.start = time.time_ns() // 1_000_000
        self.abonnementen = [uuid4() for _ in range(ABONNEMENTEN)]
        self.sample: list[Entry] = []
        self.entries, self.outcomes = 0.0, 0.0

    async def fill(self, count: int) -> None:
        at_once = self._at_once
        for first in range(0, count, at_once):
            entries = [self._entry(number) for number in range(first, min(first + at_once, count))]
            outcomes = [
                Outcome(
                    Key(entry.id, abonnement),
                    State.DELIVERED,
                    0,
                    1,
                    entry.received + 30,
                    None,
                    None,
                    204,
                    8.1,
                )
                for entry in entries
                for abonnement in entry.matched
                if self._random.random() >= OPEN
            ]
            self.sample += entries[:20]
            begin = time.process_time()
            await self._ledger.write(entries)
            self.entries += time.process_time() - begin
            begin = time.process_time()
            for start in range(0, len(outcomes), at_once):
                await self._ledger.write(outcomes[start : start + at_once])
            self.outcomes += time.process_time() - begin

    def _entry(self, number: int) -> Entry:
        received = self.start + int(number / RATE)
        zaak = f"https://zaken.example.nl/zaken/api/v1/zaken/{uuid4()}"
        kenmerken = {
            "bronorganisatie": "224557609",
            "zaaktype": f"https://catalogi.example.nl/catalogi/api/v1/zaaktypen/{number % 50}",
            "vertrouwelijkheidaanduiding": "openbaar",
        }
        return Entry(
            id=new_id(at=received / 1000),
            received=received,
            client=f"client-{number % 20 if number % 1000 else 'rare'}",
            kanaal=("zaken", "documenten", "besluiten")[number % 3],
            resource="status",
            actie="create",
            hoofd_object=zaak,
            resource_url=f"{zaak[:-40]}statussen/{uuid4()}",
            kenmerken=dict(list(kenmerken.items())[: self._kenmerken]),
            body=self._random.randbytes(BODY),
            catalogue=7,
            matched=tuple(self._random.sample(self.abonnementen, self._fan_out)),
        )


async def _cost(url: str, fan_out: int, kenmerken: int, *, count: int) -> None:
    async with _a_store(url) as store:
        async with store.opened as opened:
            filling = _Filling(opened, fan_out=fan_out, kenmerken=kenmerken)
            before = await store.server_cpu()
            await filling.fill(count)
            server = (await store.server_cpu() - before) / count
        size = await store.size() / count
    told = f"; the server {server * 1e6:.0f} µs" if url else ""
    print(
        f"  fan-out {fan_out:2}, {kenmerken} kenmerken: entry {filling.entries / count * 1e6:4.0f} µs, "
        f"outcomes {filling.outcomes / count * 1e6:4.0f} µs{told}; {size:.0f} bytes, of which {BODY} of the "
        "body"
    )


class _Store:
    """A ledger that is there for one measurement, in a file or (with a URL) in a schema of its own."""

    def __init__(self, file: Path, url: str) -> None:
        self._file, self._url = file, url
        self.schema = f"bench_{uuid4().hex[:12]}"
        at = address_at(f"{url}{'&' if '?' in url else '?'}schema={self.schema}")
        vault = Vault((), file.with_name("secret.keys"))
        self.opened = ledger_at(at, vault=vault) if url else open_ledger(file)

    async def ask(self, query: str) -> list[tuple[Any, ...]]:
        """What a query gives, on a connection of its own."""
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            cursor = await connection.execute(query)
            return await cursor.fetchall() if cursor.description else []

    async def server_cpu(self) -> float:
        """Seconds of CPU that the server's processes used for this; of a server on this machine."""
        if not self._url:
            return 0.0
        pids = await self.ask(
            "SELECT pid FROM pg_stat_activity WHERE (datname = current_database() AND application_name "
            "LIKE 'nrc%') OR backend_type IN ('walwriter', 'background writer', 'checkpointer')"
        )
        ticks = 0
        for (pid,) in pids:
            fields = _stat(pid)
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    async def size(self) -> int:
        """Bytes on disk, with the indexes."""
        if not self._url:
            return self._file.stat().st_size
        ((size,),) = await self.ask(
            "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n "
            f"ON n.oid = c.relnamespace WHERE n.nspname = '{self.schema}' AND c.relkind = 'r'"
        )
        return int(size)


def _stat(pid: int) -> list[str]:
    """The fields of a process after its name: utime and stime are the 12th and 13th."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


@asynccontextmanager
async def _a_store(url: str) -> AsyncIterator[_Store]:
    with tempfile.TemporaryDirectory(prefix="nrc-bench-") as folder:
        store = _Store(Path(folder) / "ledger.db", url)
        try:
            yield store
        finally:
            if url:
                await store.ask(f"DROP SCHEMA {store.schema} CASCADE")


async def _queries(opened: Ledger, filling: _Filling) -> None:
    entries, dice = filling.sample, random.Random(2)
    middle = entries[len(entries) // 2]

    async def read_open(abonnement: UUID) -> int:
        return len([each async for each in opened.open_of(abonnement)])

    async def second(entry: Entry) -> None:
        found = await opened.search(Search(after=entry.received, before=entry.received + 1000), limit=10_000)
        await opened.deliveries([each.id for each in found])

    def one() -> Entry:
        return dice.choice(entries)

    def page(**search: object) -> Callable[[], Awaitable[object]]:
        return lambda: opened.search(Search(**search), limit=50)  # type: ignore[arg-type]

    queries: dict[str, Callable[[], Awaitable[object]]] = {
        "nothing": lambda: opened.notificatie(uuid4()),
        "by object": lambda: opened.search(Search(text=last_segment(one().hoofd_object)), limit=50),
        "by id": lambda: opened.notificatie(one().id),
        "its deliveries": lambda: opened.deliveries([one().id]),
        "a delivery": lambda: opened.delivery(Key((entry := one()).id, entry.matched[0])),
        "50 of a client": page(client="client-7"),
        "50 of a client in the middle": page(client="client-7", before=middle.received),
        "50 with a kenmerk": page(kenmerken=middle.kenmerken),
        "50 with a kenmerk of a rare client": page(kenmerken=middle.kenmerken, client="client-rare"),
        "50 of an abonnement": page(abonnement=filling.abonnementen[0]),
        "50 that wait, of an abonnement": page(
            abonnement=filling.abonnementen[0], states=frozenset({State.PENDING})
        ),
        "a second's 700 with their deliveries": lambda: second(one()),
        "what is open of each of 100": opened.backlogs,
        "what Overzicht tells": lambda: read_ledger(opened, file=""),
        "what is counted of an hour, and how long it took": lambda: opened.per_minute(
            since=filling.start - 3_600_000
        ),
        "all that is open of one": lambda: read_open(filling.abonnementen[0]),
    }
    for name, query in queries.items():
        took, cpu = [], []
        for _ in range(100):
            begin, cpu_begin = time.perf_counter(), time.process_time()
            await query()
            took.append((time.perf_counter() - begin) * 1000)
            cpu.append((time.process_time() - cpu_begin) * 1000)
            if sum(took) > 5000:
                break
        print(f"  {name}: {statistics.median(took):.2f} ms, CPU {statistics.median(cpu):.2f} ms", flush=True)
