"""What was found in an Open Notificaties, whichever way it was read: rows by table. Reads nothing itself."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
"""A row, by the names that its columns have in the database."""

KANAAL, ABONNEMENT = "datamodel_kanaal", "datamodel_abonnement"
GROUP, FILTER = "datamodel_filtergroup", "datamodel_filter"
CLOUDEVENT_GROUP = "datamodel_cloudeventfiltergroup"
CLOUDEVENT_FILTER = "datamodel_cloudeventfilter"
SECRET = "vng_api_common_jwtsecret"  # noqa: S105 - a table
APPLICATIE, AUTORISATIE = "authorizations_applicatie", "authorizations_autorisatie"
PENDING = "datamodel_schedulednotification"
READ = (
    *(KANAAL, ABONNEMENT, GROUP, FILTER, CLOUDEVENT_GROUP, CLOUDEVENT_FILTER),
    *(SECRET, APPLICATIE, AUTORISATIE),
)
"""Tables that are read whole; those of an older version may lack some."""
NEEDED = (KANAAL, ABONNEMENT, GROUP, FILTER)
"""Without these it is no Open Notificaties."""
COUNTED: Mapping[str, str] = {
    "datamodel_notificatie": "notificaties that it has passed on stay in its own database",
    "datamodel_cloudevent": "CloudEvents that it has passed on stay in its own database",
    "zgw_consumers_service": "nothing here calls other services; the Autorisaties API is NRC_AC_URL",
    "simple_certmanager_certificate": "certificates and their keys are files in its media folder",
    "notifications_api_common_subscription": "this is the NRC itself, and needs no abonnement at one",
}
"""Tables of which only the number of rows is told, with why they are not taken."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A delivery that is still to be made, of a notificatie or of a CloudEvent.

    notificatie, event: the number of its row, None where these are not kept there. What became an event
    there has the number of its notificatie. body: as Open Notificaties would POST it; b"" when what it has is
    no JSON object. under_way: an attempt may have been made, of which it does not know the end.
    """

    number: int
    notificatie: int | None
    event: int | None
    abonnement: Any
    body: bytes
    under_way: bool


@dataclass(frozen=True, slots=True)
class Source:
    """What was found. name: for people, without secrets. counted: rows of tables that are not read.

    pending: what is still to be delivered, of one notificatie or event after the other; None when that can't
    be known, and then why_not says why. others: connections that something else has to the database.
    """

    name: str
    version: str
    tables: Mapping[str, Sequence[Row]]
    counted: Mapping[str, int]
    pending: Callable[[], AsyncIterator[Pending]] | None
    why_not: str = ""
    others: int = 0

    def rows(self, table: str) -> Sequence[Row]:
        """The rows of a table; none where there is no such table."""
        return self.tables.get(table, ())


def pending_of(row: Row) -> Pending:
    """A row of PENDING. The body has the bytes that Open Notificaties would send."""
    args = row["task_args"]
    if isinstance(args, str):
        args = json.loads(args)
    return Pending(
        number=int(row["id"]),
        notificatie=row.get("notificatie_id"),
        event=row.get("cloudevent_id"),
        abonnement=row["sub_id"],
        body=json.dumps(args).encode() if isinstance(args, dict) else b"",
        under_way=bool(row.get("in_progress")),
    )
