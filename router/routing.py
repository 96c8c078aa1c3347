"""Makes the message of a notificatie: its routing key and headers. Pure.

The key is `<resource>.<actie>.<w1>…<w14>`: 14 words, one per slot of the kanaal; `-` for a slot that the
notificatie or the kanaal lacks, or that this process does not know yet. The last slot is that of hoofdObject,
unless the kanaal has as many slots; it is used while filters on the kanaal ask for it.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from datetime import datetime

from router.history import HOPS
from router.names import KENMERK_PREFIX, kanaal_exchange, word
from router.publishing import Outgoing
from schemas.fields import normalise
from schemas.kanaal import MAX_SLOTS, Kanaal
from schemas.notificatie import HOOFD_OBJECT, Notificatie

ABSENT = "-"
LAST_SLOT = MAX_SLOTS - 1
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,30}")
_MAX_HEADER_NAME = 100  # bytes; the client library cuts names at 128
_MAX_HEADER_VALUE = 128  # bytes; keeps the header frame far below the 128 KiB at which it breaks


def route(
    kanaal: Kanaal,
    notificatie: Notificatie,
    *,
    message_id: str,
    accepted_at: datetime,
    hops: int = 0,
    filtered: Container[str] = (),
) -> Outgoing:
    """The message of a notificatie. hops: how many deliveries by an NRC it went through before.

    filtered: normalised names that filters of abonnementen on this kanaal use.
    """
    kenmerken = notificatie.kenmerken if kanaal.slots else {}
    values = {normalise(name): value for name, value in kenmerken.items()}
    headers = {header_name(slot): header_value(values[slot]) for slot in kanaal.slots if slot in values}
    last = ABSENT
    if HOOFD_OBJECT in filtered and has_room(kanaal.slots):
        last = word(notificatie.hoofd_object)
        headers[header_name(HOOFD_OBJECT)] = header_value(notificatie.hoofd_object)
    if hops:
        headers[HOPS] = str(hops)
    return Outgoing(
        exchange=kanaal_exchange(kanaal.naam),
        routing_key=routing_key(notificatie.resource, notificatie.actie, kanaal.slots, values, last=last),
        body=notificatie.body,
        message_id=message_id,
        headers=headers,
        timestamp=accepted_at,
    )


def needed(kanaal: Kanaal, kenmerken: Mapping[str, str], *, filtered: Container[str]) -> dict[str, str]:
    """The kenmerken by which a notificatie is routed; there may be 80,000 others.

    filtered: normalised names that filters of abonnementen use, with or without a slot.
    """
    return {
        name: value
        for name, value in kenmerken.items()
        if (normal := normalise(name)) in kanaal.slots or normal in filtered
    }


def routing_key(
    resource: str, actie: str, slots: tuple[str, ...], values: Mapping[str, str], *, last: str = ABSENT
) -> str:
    """The routing key; `values` by normalised name. At most 229 bytes, whatever the input.

    last: the word of LAST_SLOT, where the kanaal `has_room`.
    """
    words = [plain_or_word(resource), plain_or_word(actie)]
    words += [word(values[slot]) if slot in values else ABSENT for slot in slots]
    words += [ABSENT] * (MAX_SLOTS - len(slots))
    if last != ABSENT:
        words[-1] = last
    return ".".join(words)


def has_room(slots: tuple[str, ...]) -> bool:
    """Whether LAST_SLOT of a kanaal with these slots is that of hoofdObject."""
    return len(slots) <= LAST_SLOT


def slot_pattern(words: Mapping[int, str], *, resource: str = "*", actie: str = "*") -> str:
    """A topic pattern with these words in these slots (by index) and `*` in all others."""
    return ".".join([resource, actie, *(words.get(index, "*") for index in range(MAX_SLOTS))])


def header_name(slot: str) -> str:
    """The header of a slot; with a prefix, since `x-…`, `CC` and `BCC` have a meaning in RabbitMQ."""
    return KENMERK_PREFIX + (slot if len(slot.encode()) <= _MAX_HEADER_NAME else "~" + word(slot))


def header_value(value: str) -> str:
    """The header value: always text, since a headers exchange compares types too."""
    return value if len(value.encode()) <= _MAX_HEADER_VALUE else "~" + word(value)


def plain_or_word(text: str) -> str:
    """The word of a resource or actie: as it is where it can be."""
    return text if _PLAIN.fullmatch(text) else word(text)
