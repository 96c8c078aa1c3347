"""Callbacks that misbehave, and abonnementen that change while notificaties come in.

Each misbehaviour has an abonnement and a row of the certificate of its own, beside an abonnement whose
callback works. All of them match the same part of the load.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tests.chaos.clients import load
from tests.chaos.run import Run
from tests.chaos.scenario import Scenario
from tests.chaos.system import System, system

ODD = "odd"
"""The port of callbacks that misbehave: to a deliverer another host than that of those that don't."""
SENT_BY_NEW = 2.0
"""Seconds before a change of filters in which what was accepted may still wait, and meet the new filters."""


FEW = load.slice_of(1, 2)


# -- callbacks that misbehave, and are mended

_FAILING: Mapping[str, tuple[str, dict[str, Any]]] = {
    "500-for-one-in-a-hundred": ("some", {"every": 100, "by": "request", "then": ["status", {"code": 500}]}),
    "429-with-Retry-After": (
        "some",
        {
            "every": 5,
            "by": "request",
            "then": ["status", {"code": 429, "headers": {"Retry-After": "2"}}],
        },
    ),
    "flapping": ("flapping", {"up": 2.0, "down": 2.0, "then": ["status", {"code": 503}]}),
    "endless-body": ("endless", {}),
    "reset-after-the-body": ("reset", {}),
    "hanging": ("hang", {}),
    "a-byte-a-second": ("drip", {}),
    "redirect": ("status", {"code": 302, "headers": {"Location": "http://127.0.0.1:9/"}}),
    "after-the-deadline": ("status", {"after": 4.0}),
    "TLS-failure": ("status", {}),
}
"""The behaviour of each abonnement's callback, by its name."""

_ALL_THE_WHILE = ("500-for-one-in-a-hundred", "429-with-Retry-After", "flapping", "endless-body")
"""Those that are not mended after a while: some or all of what they do is good enough."""

_TOLD = {
    "500-for-one-in-a-hundred": "Answers one request in a hundred with 500.",
    "429-with-Retry-After": "Answers one request in five with 429 and `Retry-After: 2`.",
    "flapping": "Two seconds of 503, two seconds of 204, and so on; resumed in the end.",
    "endless-body": "Answers 200, and a body that never ends.",
    "reset-after-the-body": "Resets the connection when it has read the request; mended after 12 s.",
    "hanging": "Answers nothing; mended after 12 s.",
    "a-byte-a-second": "Answers one byte of its status line a second; mended after 12 s.",
    "redirect": "Answers 302; mended after 12 s.",
    "after-the-deadline": "Answers 204 a second after `NRC_CALLBACK_TIMEOUT`; mended after 12 s.",
    "TLS-failure": "Has a certificate that nobody vouches for; after 12 s its `callbackUrl` is changed.",
}


async def misbehaving(run: Run) -> None:
    await run.consumer.open(ODD)
    await run.consumer.open("tls", certificate=_certificate(run.system.folder))
    for name, (behaviour, arguments) in _FAILING.items():
        await run.consumer.behave(run.path(name), behaviour, **arguments)
    await asyncio.gather(
        *(run.subscribe(name, FEW, port="tls" if name == "TLS-failure" else ODD) for name in _FAILING)
    )
    async with run.fault():
        await run.lasting(12)
        for name in _FAILING.keys() - set(_ALL_THE_WHILE):
            await run.consumer.behave(run.path(name), "status")
        await _change(run, "TLS-failure", callbackUrl=run.consumer.url(run.path("TLS-failure"), port=ODD))
    await run.more(2500)
    # Held or not at this moment: it is well again, and an operator need not wait for the next probe.
    await run.consumer.behave(run.path("flapping"), "status")
    await run.system.nrc("abonnement", "resume", str(run.abonnementen["flapping"]))
    await run.more(500)


def _certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, key and all in one file."""
    file, key = folder / "callback.pem", folder / "callback.key"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=chaos",
            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(file),
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    file.write_text(key.read_text() + file.read_text())
    return file


# -- callbacks that answer what nobody asked

_UNASKED = {"unasked-200": 200, "unasked-408": 408}


async def unasked_answers(run: Run) -> None:
    """Each on a port of its own, where what a deliverer finds of one tells it nothing of the other."""
    for name, code in _UNASKED.items():
        await run.consumer.open(name)
        await run.consumer.behave(run.path(name), "unasked", code=code)
        await run.subscribe(name, load.slice_of(0, 1), port=name)
    await run.more(3000)


# -- callbacks that are away for longer than the whole retry schedule

SHORT_SCHEDULE = "1,1,2"


@asynccontextmanager
async def short_schedule(*, keep: bool = False) -> AsyncIterator[System]:
    """A system in which a notificatie has four attempts in four seconds."""
    async with system(settings={"NRC_RETRY_SCHEDULE": SHORT_SCHEDULE}, keep=keep) as made:
        yield made


async def away(run: Run) -> None:
    await run.consumer.open("down")
    await run.consumer.open(ODD)
    await asyncio.gather(
        run.subscribe("down", FEW, port="down"),
        run.subscribe("some-refused", FEW, port=ODD),
        run.subscribe("gone", FEW, port=ODD),
    )
    refuse = {"every": 25, "then": ["status", {"code": 400}]}
    await run.consumer.behave(run.path("some-refused"), "some", **refuse)
    await run.more(600)
    async with run.fault():
        await run.consumer.down("down")
        await run.consumer.behave(run.path("gone"), "status", code=410)
        await run.lasting(15)
        await run.consumer.up("down")
        for name in ("gone", "some-refused"):
            await run.consumer.behave(run.path(name), "status")
        await run.system.nrc("abonnement", "resume", str(run.abonnementen["gone"]))
    await run.more(2000)
    # What nobody could deliver, an operator sends once more, while everything goes on.
    for name in ("down", "some-refused"):
        await run.system.nrc("undeliverable", "resend", "--abonnement", str(run.abonnementen[name]))
    await run.more(600)


# -- abonnementen that change under load


async def changed(run: Run) -> None:
    await run.consumer.open(ODD)
    narrow, other = load.slice_of(0, 1), load.slice_of(0, 2)
    await asyncio.gather(
        run.subscribe("another-callbackUrl", FEW),
        run.subscribe("other-filters", narrow),
        run.subscribe("suspended", FEW),
        run.subscribe("deleted", FEW),
    )
    await run.more(500)
    async with run.fault():
        await run.consumer.behave(run.path("deleted"), "hang")
        await run.system.nrc("abonnement", "suspend", str(run.abonnementen["suspended"]))
        await _change(
            run,
            "another-callbackUrl",
            callbackUrl=run.consumer.url(run.path("another-callbackUrl"), port=ODD),
        )
        await _change(run, "other-filters", kanalen=[*narrow.kanalen, *other.kanalen])
        run.wants_too("other-filters", other.matches)
        await run.more(1200)
        await run.unsubscribe("deleted")
        await run.consumer.behave(run.path("deleted"), "status")
        at = time.monotonic() - SENT_BY_NEW
        run.wants_no_more("other-filters", at=at)
        run.wants_too("other-filters", other.matches, since=at)
        await _change(run, "other-filters", kanalen=list(other.kanalen))
        await run.system.nrc("abonnement", "resume", str(run.abonnementen["suspended"]))
    await run.more(1500)


async def _change(run: Run, name: str, **fields: Any) -> None:
    await run.system.call("PATCH", f"abonnement/{run.abonnementen[name]}", fields)


_described = partial("{} Beside them one whose callback does as it should, without filters.".format)

SCENARIOS = (
    Scenario(
        "callbacks that misbehave",
        _described("Ten abonnementen, each with a callback that is wrong in its own way."),
        misbehaving,
        rate=250.0,
        least=5000,
        quiet=25.0,
        abonnementen={"everything": load.EVERYTHING},
        parts=_TOLD,
    ),
    Scenario(
        "answers that nobody asked for",
        _described(
            "Two abonnementen whose callbacks answer 204, 10 ms later answer once more on the same "
            "connection, and read nothing of what came meanwhile. Nothing counts as delivered by an answer "
            "to something else."
        ),
        unasked_answers,
        rate=300.0,
        least=3600,
        abonnementen={"everything": load.EVERYTHING},
        parts={
            "unasked-200": "Answers 200 after its 204, and closes the connection.",
            "unasked-408": "Answers 408 after its 204, and closes it, as servers do with one that is idle.",
        },
    ),
    Scenario(
        "callbacks that are away",
        _described(
            f"With `NRC_RETRY_SCHEDULE={SHORT_SCHEDULE}`: three abonnementen whose callbacks are away or "
            "refuse for 15 s, so for longer than all attempts take. Afterwards `nrc undeliverable resend` "
            "sends what was given up."
        ),
        away,
        make=short_schedule,
        rate=300.0,
        quiet=25.0,
        abonnementen={"everything": load.EVERYTHING},
        parts={
            "down": "Refuses every connection for 15 s.",
            "some-refused": "Answers 400 to one notificatie in 25.",
            "gone": "Answers 410; afterwards an operator resumes it.",
        },
    ),
    Scenario(
        "abonnementen change",
        _described("With the same schedule: four abonnementen that are changed by API or command."),
        changed,
        make=short_schedule,
        rate=300.0,
        abonnementen={"everything": load.EVERYTHING},
        parts={
            "another-callbackUrl": "PATCH of its `callbackUrl`.",
            "other-filters": "PATCH of its filters to more, and then to others. What was accepted in the two "
            "seconds before others is not counted: it may be sent by the old or the new ones.",
            "suspended": "Suspended, and resumed some seconds later.",
            "deleted": "Deleted, while its callback hangs and messages wait for it.",
        },
    ),
)
