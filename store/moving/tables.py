"""The registry's tables as a move sees them: those that both stores have, with their primary keys.

A table that is added to a store stands here, or among those that stay: a test looks.
"""

from __future__ import annotations

TABLES: dict[str, tuple[str, ...]] = {
    "counter": (),
    "kanaal": ("uuid",),
    "abonnement": ("uuid",),
    "application": ("client_id",),
    "event_mapping": ("name",),
    "removed": ("kind", "key"),
    "failure": ("uuid",),
    "declared": ("kind", "key"),
    "kanalen_version": ("abonnement", "change"),
    "state_version": ("nr",),
    "secret_use": ("client_id",),
    "ac_answer": ("client_id",),
    "ledger": ("one",),
    "act": ("nr",),
    "console_user": ("name",),
    "console_session": ("key",),
    "alert_setting": ("name",),
    "alert": ("subject",),
    "alert_message": ("channel", "subject"),
    "alert_sending": ("channel",),
    "certificate": ("host", "port"),
}
"""Tables that are moved. A new registry has one row in `counter` and one in `alert_setting`."""

STAY = frozenset({"lease", "alert_lease", "mark", "schema_step", "_sqlite_migrations", "compatible_step"})
"""Tables that belong to a store itself, or to processes that run."""

OWN = frozenset({("counter", "id"), ("counter", "one"), ("counter", "server"), ("act", "about")})
"""Columns that one of the stores has by itself; `about` is made of `facts`."""

CHUNK = 1000
"""Rows that are read at once."""


def moved_columns(table: str, there: list[str]) -> tuple[str, ...]:
    """Those of its columns `there` that are moved, in the same order for every store."""
    return tuple(sorted(name for name in there if (table, name) not in OWN))
