"""The usual load: two kanalen, five abonnementen, and a notificatie for every number.

Pure. Its predicates say what each abonnement must get, independently of the product's code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

KANALEN = (
    {"naam": "zaken", "filters": ["bronorganisatie", "zaaktype", "vertrouwelijkheidaanduiding"]},
    {"naam": "documenten", "filters": ["bronorganisatie", "informatieobjecttype"]},
)

OBJECTEN = {"naam": "objecten", "filters": ["helft", "kwart", "nummer"]}
"""The kanaal of mixed.py."""

ORGANISATIONS = ("224557609", "517439943")
ZAAKTYPEN = tuple(f"https://catalogi.example.nl/api/v1/zaaktypen/{n}" for n in range(3))
TYPES = tuple(f"https://catalogi.example.nl/api/v1/informatieobjecttypen/{n}" for n in range(2))

_NUMBER = re.compile(rb"/object/(\d+)\"")


def is_document(number: int) -> bool:
    """Whether it is published on documenten; else on zaken."""
    return number % 4 == 3


def notificatie(number: int) -> dict[str, Any]:
    """The notificatie of a number. Every other document has no informatieobjecttype."""
    document = is_document(number)
    kenmerken = {"bronorganisatie": ORGANISATIONS[number % 2]}
    if not document:
        kenmerken["zaaktype"] = ZAAKTYPEN[number % 3]
        kenmerken["vertrouwelijkheidaanduiding"] = "openbaar"
    elif number % 8 == 3:
        kenmerken["informatieobjecttype"] = TYPES[number % 3 == 0]
    root = f"https://bron.example.nl/api/v1/object/{number}"
    return {
        "kanaal": "documenten" if document else "zaken",
        "hoofdObject": root,
        "resource": "document" if document else "status",
        "resourceUrl": f"{root}/deel",
        "actie": "create",
        "aanmaakdatum": "2024-05-14T10:59:13Z",
        "kenmerken": kenmerken,
    }


def body_of(number: int) -> bytes:
    """The same as it goes over the wire."""
    return orjson.dumps(notificatie(number))


def number_of(body: bytes) -> int:
    """The number of the notificatie in a body; -1 when it is none of ours."""
    found = _NUMBER.search(body)
    return int(found[1]) if found else -1


@dataclass(frozen=True, slots=True)
class Posting:
    """One request of a publisher. headers: besides those that every request has."""

    body: bytes
    path: str = "/api/v1/notificaties"
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is published under each number, what it is about, and what is alike of repeats."""

    posting: Callable[[int], Posting]
    hoofd_object: Callable[[int], str]
    resource: Callable[[int], str]


USUAL = Traffic(lambda number: Posting(body_of(number)), str, str)
"""Each is about an object of its own."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An abonnement to be made: its kanalen as the API has them, and which numbers it must get.

    pull: it has no callback, and its consumer fetches. amqp: neither, and its consumer reads this queue or
    stream in RabbitMQ. options: its delivery options.
    """

    kanalen: tuple[Mapping[str, Any], ...]
    matches: Callable[[int], bool]
    pull: bool = False
    amqp: Mapping[str, Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def _one_zaaktype(number: int) -> bool:
    return not is_document(number) and number % 2 == 0 and number % 3 == 1


def _documents(number: int) -> bool:
    # The filter on a kenmerk that the notificatie lacks is ignored.
    return is_document(number) and (number % 8 == 7 or number % 3 != 0)


def slice_of(organisation: int, zaaktype: int) -> Wanted:
    """The zaken of one organisation and zaaktype: one in six of all notificaties, or one in twelve."""

    def matches(number: int) -> bool:
        return not is_document(number) and number % 2 == organisation and number % 3 == zaaktype

    filters = {
        "bronorganisatie": ORGANISATIONS[organisation],
        "zaaktype": ZAAKTYPEN[zaaktype],
    }
    return Wanted(({"naam": "zaken", "filters": filters},), matches)


EVERYTHING = Wanted(({"naam": "zaken", "filters": {}}, {"naam": "documenten", "filters": {}}), lambda _: True)
ONE_ZAAKTYPE = Wanted(
    ({"naam": "zaken", "filters": {"bronorganisatie": ORGANISATIONS[0], "zaaktype": ZAAKTYPEN[1]}},),
    _one_zaaktype,
)
DOCUMENTS = Wanted(({"naam": "documenten", "filters": {"informatieobjecttype": TYPES[0]}},), _documents)
FETCHED = replace(slice_of(0, 2), pull=True)
NOTHING = Wanted(
    (
        {"naam": "zaken", "filters": {"bronorganisatie": "999999999"}},
        {"naam": "documenten", "filters": {"bronorganisatie": "999999999"}},
    ),
    lambda _: False,
)

ABONNEMENTEN: Mapping[str, Wanted] = {
    "everything": EVERYTHING,
    "one-zaaktype": ONE_ZAAKTYPE,
    "documents": DOCUMENTS,
    "nothing": NOTHING,
    "fetched": FETCHED,
}
"""What each scenario has, unless it says otherwise."""
