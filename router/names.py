"""Every name that this product gives to something in RabbitMQ. Made here and nowhere else."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from functools import lru_cache
from hashlib import blake2b
from uuid import UUID, uuid4

READY = "nrc.ready"
CHANGES = "nrc.changes"
RETURN = "nrc.return"
UNDELIVERABLE = "nrc.undeliverable"
STRAY = "nrc.stray"
CANARY = "nrc.canary"
REQUESTS = "nrc.router"

KENMERK_PREFIX = "k."
"""Of the headers that hold kenmerken."""

ABONNEMENT_HEADER = "nrc-abonnement"
"""On a message that a deliverer has seen: whose it is."""

_PLAIN_NAAM = re.compile(r"[A-Za-z0-9_.:-]{1,50}")
_ABONNEMENT = re.compile(r"nrc\.abonnement\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_WAIT = re.compile(r"nrc\.wait\.(\d+)")


@lru_cache(maxsize=65536)
def word(text: str) -> str:
    """The 64-bit BLAKE2b of text in URL-safe base64: 11 characters, no dot, `*` or `#`."""
    return urlsafe_b64encode(blake2b(text.encode(), digest_size=8).digest())[:11].decode()


def kanaal_exchange(naam: str, generation: int = 0) -> str:
    """The topic exchange of a kanaal. A naam that RabbitMQ or the client library refuses goes as `@word`.

    generation: 0 at first, and greater for each exchange that it is given after that.
    """
    plain = naam if _PLAIN_NAAM.fullmatch(naam) else "@" + word(naam)
    return f"nrc.kanaal.{plain}" + (f"@{generation}" if generation else "")


def filter_exchange(naam: str, pattern: str) -> str:
    """The headers exchange that a kanaal's topic exchange feeds by exactly this pattern."""
    digest = blake2b(f"{naam}\x00{pattern}".encode(), digest_size=16).digest()
    return f"nrc.filter.{urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def changes_queue() -> str:
    """A process's own queue for hints; another name every time."""
    return f"{CHANGES}.{uuid4()}"


def abonnement_queue(uuid: UUID) -> str:
    """The queue of an abonnement."""
    return f"nrc.abonnement.{uuid}"


def abonnement_exchange(uuid: UUID) -> str:
    """The fanout exchange before the queue of an abonnement: what all bindings lead to.

    Not called as the queue is: an older router that is started again would take off bindings of the one for
    those of the other.
    """
    return f"nrc.to.{uuid}"


def abonnement_of(queue: str) -> UUID | None:
    """The abonnement whose queue this is; None for other names."""
    match = _ABONNEMENT.fullmatch(queue)
    return UUID(match[1]) if match else None


def wait_queue(seconds: int) -> str:
    """The queue, and the fanout exchange before it, in which a message waits this long."""
    return f"nrc.wait.{seconds}"


def wait_seconds(queue: str) -> int | None:
    """How long the messages of a wait queue wait; None for other names."""
    match = _WAIT.fullmatch(queue)
    return int(match[1]) if match else None
