"""What machines a system needs: a model of constants that were measured, and of arithmetic. Pure.

docs/capacity.md explains it, and a test compares its tables with what is worked out here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

DAY = 86400
MIB, GIB = 1024**2, 1024**3


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of a system.

    peak: the busiest second of the day, as a multiple of the mean. fan_out: abonnementen that get a
    notificatie, on average. callback: seconds until a callback answers. body: bytes. rows, bodies, log_days:
    days that the ledger keeps rows and bodies, and that logs are kept. outage: hours that the callback of the
    abonnement that gets all may be down. postgresql: registry and ledger are there, not in SQLite files.
    nodes: of RabbitMQ.
    """

    name: str
    per_day: float
    peak: float = 8.0
    fan_out: float = 3.0
    callback: float = 0.2
    abonnementen: int = 50
    body: int = 700
    rows: float = 30.0
    bodies: float = 7.0
    log_days: float = 14.0
    outage: float = 24.0
    postgresql: bool = False
    nodes: int = 1


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger in one of the two stores. Bytes on disk; µs of CPU.

    process: in our own processes, on top of what Costs has. server: in PostgreSQL.
    """

    bytes_each: float
    bytes_delivery: float
    process_each: float
    process_delivery: float
    server_each: float
    server_delivery: float


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured; docs/capacity.md has each with its command.

    CPU in ms, of a notificatie (`_each`) and of one of its deliveries (`_delivery`). sqlite_…: µs of it for
    which a SQLite file is locked.
    """

    gateway_each: float = 0.42
    gateway_delivery: float = 0.02
    deliverer_delivery: float = 0.49
    rabbitmq_each: float = 0.11
    rabbitmq_delivery: float = 0.086
    sqlite: Ledger = Ledger(389, 96, 0, 0, 0, 0)
    sqlite_each: float = 46.0
    sqlite_delivery: float = 31.0
    postgresql: Ledger = Ledger(943, 555, 165, 125, 180, 90)
    log_each: float = 261.0
    log_delivery: float = 204.0
    message: float = 640.0  # bytes that RabbitMQ adds to a body
    post_head: float = 340.0  # bytes of the request to the gateway, without the body
    callback_head: float = 280.0  # bytes of the request to a callback, without the body
    message_waiting: float = 450.0  # and on disk, of one that waits
    waiting_memory: float = 330.0  # bytes of RabbitMQ's memory for each that waits
    queue_memory: float = 0.2 * MIB  # of RabbitMQ, for each abonnement
    rabbitmq_memory: float = 150 * MIB
    process_memory: float = 90 * MIB
    in_hand: float = 256 * MIB  # NRC_DELIVERER_MEMORY, which a deliverer uses when callbacks are slow
    wal: float = 512 * MIB  # RabbitMQ's write-ahead log, of which two may stand on disk
    wal_memory: float = 864 * MIB  # what it has in memory of one


@dataclass(frozen=True, slots=True)
class Limits:
    """Of the product. busy: the share of a core, or of places, that is planned with.

    accepted: notificaties a second of one NRC; the most that was measured.
    """

    busy: float = 0.6
    places: int = 200  # NRC_DELIVERER_CONCURRENCY
    places_abonnement: int = 50  # NRC_DELIVERER_PREFETCH
    abonnementen: int = 5000  # decision 53
    sqlite_lock: float = 0.5  # of the time that the file may be locked
    accepted: float = 2000.0


@dataclass(frozen=True, slots=True)
class Need:
    """What a demand needs. Rates per second at the peak; cores of CPU that are used then; bytes.

    places: requests to callbacks at once. waiting: notificaties that wait for the one abonnement that is
    down; waiting_bodies: the bytes of their bodies. sqlite_share: of the time that a SQLite ledger would be
    locked. nrcs: among how many it is to be divided.
    """

    accepted: float
    delivered: float
    gateway: float
    deliverer: float
    rabbitmq: float
    postgresql: float
    gateways: int
    deliverers: int
    places: float
    cores: int
    ours_memory: float
    rabbitmq_memory: float
    rabbitmq_disk: float
    waiting: float
    waiting_bodies: float
    ledger_disk: float
    log_disk: float
    network_in: float
    network_out: float
    network_rabbitmq: float
    sqlite_share: float
    nrcs: int


def need(demand: Demand, costs: Costs = Costs(), limits: Limits = Limits()) -> Need:
    """What this demand needs, all of it by one NRC; `nrcs` says whether one can."""
    ledger = costs.postgresql if demand.postgresql else costs.sqlite
    accepted = demand.per_day / DAY * demand.peak
    delivered = accepted * demand.fan_out
    gateway = (
        accepted * (costs.gateway_each + ledger.process_each / 1000) + delivered * costs.gateway_delivery
    ) / 1000
    deliverer = delivered * (costs.deliverer_delivery + ledger.process_delivery / 1000) / 1000
    rabbitmq = (accepted * costs.rabbitmq_each + delivered * costs.rabbitmq_delivery) / 1000
    server = (accepted * ledger.server_each + delivered * ledger.server_delivery) / 1e6
    places = delivered * demand.callback
    of_one = min(limits.places, limits.places_abonnement * max(1.0, demand.fan_out))
    gateways = _processes(gateway, limits.busy)
    deliverers = max(_processes(deliverer, limits.busy), math.ceil(places / of_one / limits.busy))
    message = demand.body + costs.message
    waiting = demand.per_day / 24 * demand.outage
    return Need(
        accepted=accepted,
        delivered=delivered,
        gateway=gateway,
        deliverer=deliverer,
        rabbitmq=rabbitmq,
        postgresql=server,
        gateways=gateways,
        deliverers=deliverers,
        places=places,
        cores=max(2, math.ceil((gateway + deliverer + rabbitmq + server) / limits.busy)),
        # Router, keeper, alerts and console; the inbox is for trying out.
        ours_memory=(gateways + deliverers + 4) * costs.process_memory + deliverers * costs.in_hand,
        rabbitmq_memory=costs.rabbitmq_memory
        + demand.abonnementen * costs.queue_memory
        + waiting * costs.waiting_memory
        + costs.wal_memory,
        rabbitmq_disk=waiting * (demand.body + costs.message_waiting) + 2 * costs.wal,
        waiting=waiting,
        waiting_bodies=waiting * demand.body,
        ledger_disk=demand.per_day
        * (
            demand.rows * (ledger.bytes_each + demand.fan_out * ledger.bytes_delivery)
            + demand.bodies * demand.body
        ),
        log_disk=demand.per_day * demand.log_days * (costs.log_each + demand.fan_out * costs.log_delivery),
        network_in=accepted * (demand.body + costs.post_head),
        network_out=delivered * (demand.body + costs.callback_head),
        network_rabbitmq=message * (accepted + delivered + delivered * (demand.nodes - 1)),
        sqlite_share=(accepted * costs.sqlite_each + delivered * costs.sqlite_delivery) / 1e6,
        nrcs=max(math.ceil(accepted / limits.accepted), math.ceil(demand.abonnementen / limits.abonnementen)),
    )


def cpu_of_1000(fan_out: float, costs: Costs = Costs()) -> float:
    """ms of CPU of all processes for 1,000 notificaties, on SQLite: what `python -m bench costs` measures."""
    one = need(Demand("", per_day=DAY, peak=1.0, fan_out=fan_out, callback=0.0), costs)
    return (one.gateway + one.deliverer + one.rabbitmq) * 1e6


VILLAGE = Demand("village", 10_000, peak=20, abonnementen=10)
CITY = Demand("city", 1_000_000, peak=10, abonnementen=50)
PROVINCE = Demand("SaaS supplier", 20_000_000, peak=6, abonnementen=1_000, rows=14, postgresql=True, nodes=3)
NATION = Demand(
    "nation, as one", 1_000_000_000, peak=4, abonnementen=20_000, rows=3, bodies=1, postgresql=True, nodes=3
)


def table(demands: tuple[Demand, ...]) -> str:
    """A table in Markdown: what each demand needs."""
    needs = [need(demand) for demand in demands]
    rows: list[tuple[str, list[str]]] = [
        ("notificaties a day", [f"{each.per_day:,.0f}" for each in demands]),
        ("peak, times the mean", [f"{each.peak:g}" for each in demands]),
        (
            "fan-out; callbacks answer after",
            [f"{each.fan_out:g}; {each.callback * 1000:g} ms" for each in demands],
        ),
        ("abonnementen; body", [f"{each.abonnementen:,}; {each.body} bytes" for each in demands]),
        ("ledger keeps rows; bodies", [f"{each.rows:g}; {each.bodies:g} days" for each in demands]),
        ("registry and ledger in", ["PostgreSQL" if each.postgresql else "SQLite" for each in demands]),
        ("**at the peak, each second**", [""] * len(demands)),
        ("accepted", [_rounded(each.accepted) for each in needs]),
        ("delivered", [_rounded(each.delivered) for each in needs]),
        ("**CPU used then, cores**", [""] * len(demands)),
        ("gateways", [f"{each.gateway:.2f}" for each in needs]),
        ("deliverers", [f"{each.deliverer:.2f}" for each in needs]),
        ("RabbitMQ", [f"{each.rabbitmq:.2f}" for each in needs]),
        ("PostgreSQL", [f"{each.postgresql:.2f}" if each.postgresql else "—" for each in needs]),
        ("**to buy or set**", [""] * len(demands)),
        ("cores in all, 40% spare", [f"{each.cores:,}" for each in needs]),
        ("gateway processes", [f"{each.gateways:,}" for each in needs]),
        ("deliverer processes", [f"{each.deliverers:,}" for each in needs]),
        ("requests to callbacks at once", [_rounded(each.places) for each in needs]),
        ("memory of our processes, at most", [_bytes(each.ours_memory) for each in needs]),
        ("RabbitMQ nodes", [f"{each.nodes}" for each in demands]),
        ("memory of a RabbitMQ node", [_bytes(each.rabbitmq_memory) for each in needs]),
        ("disk of a RabbitMQ node", [_bytes(each.rabbitmq_disk) for each in needs]),
        ("disk of the ledger", [_bytes(each.ledger_disk) for each in needs]),
        ("disk of logs, 14 days", [_bytes(each.log_disk) for each in needs]),
        ("network in; out", [f"{_bits(each.network_in)}; {_bits(each.network_out)}" for each in needs]),
        ("network of RabbitMQ", [_bits(each.network_rabbitmq) for each in needs]),
        ("**what bends first**", [""] * len(demands)),
        ("a SQLite ledger would be locked", [f"{each.sqlite_share:.1%}" for each in needs]),
        ("waits when a callback that gets all is down for a day", [_rounded(each.waiting) for each in needs]),
        ("`NRC_HOLD_BUDGET` for that", [_bytes(each.waiting_bodies) for each in needs]),
        ("NRCs to divide it over", [f"{each.nrcs}" for each in needs]),
    ]
    head = "| | " + " | ".join(each.name for each in demands) + " |\n|---|" + "--:|" * len(demands) + "\n"
    return head + "".join(f"| {name} | {' | '.join(cells)} |\n" for name, cells in rows)


def divided(demand: Demand, by: int) -> Demand:
    """The share of one of so many NRCs."""
    return replace(
        demand,
        name=f"one of {by}",
        per_day=demand.per_day / by,
        abonnementen=math.ceil(demand.abonnementen / by),
    )


def _processes(cores: float, busy: float) -> int:
    """So many processes, of which each uses one core at most."""
    return max(1, math.ceil(cores / busy))


def _rounded(value: float) -> str:
    """Two digits that count, or three: more would be pretence."""
    if value < 10:
        return f"{value:.1f}"
    digits = max(0, len(str(int(value))) - 3)
    return f"{round(value, -digits):,.0f}"


def _bytes(value: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if value >= size:
            return f"{value / size:.1f} {unit}" if value < 10 * size else f"{value / size:.0f} {unit}"
    return f"{value / 1e3:.0f} kB"


def _bits(value: float) -> str:
    """Bytes a second as bits a second."""
    for unit, size in (("Gbit/s", 1e9), ("Mbit/s", 1e6)):
        if value * 8 >= size:
            return f"{value * 8 / size:.1f} {unit}"
    return f"{value * 8 / 1e3:.0f} kbit/s"


EXAMPLES = (VILLAGE, CITY, PROVINCE, NATION, divided(NATION, need(NATION).nrcs))
"""Those of the document."""
