"""The SQLite ledger's tables, as named steps that only go forward (see store/sqlite/schema.py for how).

A notificatie is a row of `notificatie`, its body one of `body`, each of its kenmerken one of `term`, each
abonnement that it is for one of `delivery`. Ids are 16 bytes, moments milliseconds since 1970.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from sqlite_utils import Database

from ledger.copies.instance import TABLE, make_instance
from ledger.tables.hash_key import NAME, sealed_anew, unsealed
from store.faults import LEDGER
from store.files.schema_steps import apply_steps
from store.files.sqlite_file import Contents
from store.secrets import Vault

READERS = 3
CACHE = 32_000  # kB: the pages of the indexes that a transaction of some hundreds of notificaties touches


def _first(db: Database) -> None:
    # n is a notificatie's place in time (rows.first_n), so every index that ends in it is one by time. hoofd,
    # url and t are keyed hashes (rows.Hashes); client, kanaal and abonnement are numbers of `name`;
    # terms: each t of this n in `term`, to remove them by.
    # delivery: `open` is whether its state is (one index, by abonnement, for what waits and for all that it
    # had), `us` microseconds. unrouted: `open` until the keeper has published it; the row stays, so that a
    # repeated mark does not undo that. minute: `what` and `who` as in rows.Counter. attempt: `number` as of
    # values.Attempt. budget has one row once it was checked: `full` when nothing could be shed.
    db.executescript(
        """
        CREATE TABLE secret (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
        CREATE TABLE lease (holder TEXT PRIMARY KEY, boot TEXT NOT NULL, host TEXT NOT NULL,
            at REAL NOT NULL);
        CREATE TABLE name (kind INTEGER NOT NULL, nr INTEGER NOT NULL, text TEXT NOT NULL,
            PRIMARY KEY (kind, nr), UNIQUE (kind, text)) WITHOUT ROWID;

        CREATE TABLE notificatie (n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, received INTEGER NOT NULL,
            client INTEGER NOT NULL, kanaal INTEGER NOT NULL, resource TEXT NOT NULL, actie TEXT NOT NULL,
            hoofd INTEGER NOT NULL, url INTEGER NOT NULL, size INTEGER NOT NULL, catalogue INTEGER NOT NULL,
            hops INTEGER NOT NULL, terms BLOB NOT NULL);
        CREATE INDEX notificatie_hoofd ON notificatie (hoofd);
        CREATE INDEX notificatie_url ON notificatie (url);
        CREATE INDEX notificatie_client ON notificatie (client);
        CREATE TABLE body (n INTEGER PRIMARY KEY, body BLOB NOT NULL);
        CREATE TABLE term (t INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (t, n)) WITHOUT ROWID;
        CREATE TABLE unrouted (id BLOB PRIMARY KEY, open INTEGER NOT NULL, since INTEGER NOT NULL)
            WITHOUT ROWID;

        CREATE TABLE delivery (id BLOB NOT NULL, abonnement INTEGER NOT NULL, replay INTEGER NOT NULL,
            open INTEGER NOT NULL, state INTEGER NOT NULL, round INTEGER NOT NULL, attempts INTEGER NOT NULL,
            since INTEGER NOT NULL, last_at INTEGER NOT NULL, next_at INTEGER, size INTEGER NOT NULL,
            given INTEGER NOT NULL, doubt INTEGER NOT NULL, status INTEGER, us INTEGER,
            PRIMARY KEY (id, abonnement, replay)) WITHOUT ROWID;
        CREATE INDEX delivery_abonnement ON delivery (abonnement, open, id, replay);
        CREATE INDEX delivery_uncommon ON delivery (state, id, abonnement, replay)
            WHERE state NOT IN (0, 7);
        CREATE INDEX delivery_next ON delivery (abonnement, next_at) WHERE next_at IS NOT NULL;
        CREATE TABLE attempt (id BLOB NOT NULL, abonnement INTEGER NOT NULL, replay INTEGER NOT NULL,
            round INTEGER NOT NULL, number INTEGER NOT NULL, at INTEGER NOT NULL, kind TEXT NOT NULL,
            status INTEGER, us INTEGER, detail TEXT NOT NULL,
            PRIMARY KEY (id, abonnement, replay, at, round, number, kind)) WITHOUT ROWID;

        CREATE TABLE minute (minute INTEGER NOT NULL, what INTEGER NOT NULL, who INTEGER NOT NULL,
            n INTEGER NOT NULL, PRIMARY KEY (minute, what, who)) WITHOUT ROWID;
        CREATE TABLE backlog (abonnement INTEGER PRIMARY KEY, n INTEGER NOT NULL, bytes INTEGER NOT NULL,
            retrying INTEGER NOT NULL, stuck INTEGER NOT NULL);
        CREATE TABLE process (name TEXT PRIMARY KEY, at INTEGER NOT NULL, flushed_until INTEGER NOT NULL,
            hands BLOB NOT NULL, stopped INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE gap (nr INTEGER PRIMARY KEY, kind TEXT NOT NULL, scope TEXT NOT NULL,
            opened INTEGER NOT NULL, closed INTEGER, detail TEXT NOT NULL);
        CREATE TABLE keeper (one INTEGER PRIMARY KEY CHECK (one = 1), holder TEXT NOT NULL,
            epoch INTEGER NOT NULL, until INTEGER NOT NULL);
        CREATE TABLE budget (one INTEGER PRIMARY KEY CHECK (one = 1), bytes INTEGER NOT NULL,
            full INTEGER NOT NULL);
        """
    )


def _giving_back(db: Database) -> None:
    db.executescript("CREATE INDEX unrouted_open ON unrouted (id, since) WHERE open = 1;")


def _instance(db: Database) -> None:
    db.executescript(TABLE)
    make_instance(db, now=int(time.time() * 1000))


def _judging(db: Database) -> None:
    # first_attempt: of what had its first attempt in this minute, the greatest `since`. gap: `done` once what
    # it covers was given back.
    db.executescript(
        """
        CREATE TABLE first_attempt (abonnement INTEGER NOT NULL, minute INTEGER NOT NULL,
            since INTEGER NOT NULL, PRIMARY KEY (abonnement, minute)) WITHOUT ROWID;
        ALTER TABLE gap ADD COLUMN done INTEGER NOT NULL DEFAULT 0;
        """
    )


def _replays(db: Database) -> None:
    # nr: `replay` of the deliveries that it makes. progress: as of operating.replays.Progress. search: JSON.
    db.executescript(
        """
        CREATE TABLE replay (nr INTEGER PRIMARY KEY AUTOINCREMENT, made INTEGER NOT NULL, ended INTEGER,
            progress TEXT NOT NULL, abonnement TEXT NOT NULL, search TEXT NOT NULL, reason TEXT NOT NULL,
            rate REAL NOT NULL, unmatched INTEGER NOT NULL, total INTEGER NOT NULL,
            sent INTEGER NOT NULL DEFAULT 0, skipped INTEGER NOT NULL DEFAULT 0, last BLOB);
        """
    )


def _incomplete(db: Database) -> None:
    # since: 0 when it lacks all of before. n: how many notificaties may be lacking, when that is known.
    db.executescript(
        """
        CREATE TABLE incomplete (since INTEGER NOT NULL, until INTEGER NOT NULL, n INTEGER,
            PRIMARY KEY (since, until)) WITHOUT ROWID;
        """
    )


def _sent_again(db: Database) -> None:
    # again_at: when it was sent again as a new one, or replayed; NULL of all others.
    db.executescript("ALTER TABLE delivery ADD COLUMN again_at INTEGER;")


def _no_count_of_retries(db: Database) -> None:
    # How many are between attempts depends on the moment: next_at tells it.
    db.executescript("ALTER TABLE backlog DROP COLUMN retrying;")


def _took(db: Database) -> None:
    # How many deliveries were made in this minute, by how long they took: a bucket of durations.BOUNDS.
    db.executescript(
        """
        CREATE TABLE took (minute INTEGER NOT NULL, bucket INTEGER NOT NULL, n INTEGER NOT NULL,
            PRIMARY KEY (minute, bucket)) WITHOUT ROWID;
        """
    )


def _traces(db: Database) -> None:
    # The `traceparent` of what was accepted with traces on; goes with the body.
    db.executescript("CREATE TABLE trace (n INTEGER PRIMARY KEY, traceparent TEXT NOT NULL);")


def _last_sent_again(db: Database) -> None:
    # Of what was sent again, for when something was last delivered; no other delivery has a row in it.
    db.executescript(
        "CREATE INDEX delivery_again ON delivery (abonnement, open, again_at) WHERE again_at IS NOT NULL;"
    )


def _lacking(db: Database) -> None:
    # A replay of only what its abonnement has not got yet.
    db.executescript("ALTER TABLE replay ADD COLUMN lacking INTEGER NOT NULL DEFAULT 0;")


def _lane(db: Database) -> None:
    # lane: the unrouted that wait in the lane for bulk. An older program beside takes them for unrouted.
    # passed_on: what a publisher sent with a notificatie to be passed on; only of those with which it did.
    db.executescript(
        """
        CREATE TABLE lane (id BLOB PRIMARY KEY) WITHOUT ROWID;
        CREATE TABLE passed_on (id BLOB PRIMARY KEY, batch TEXT NOT NULL, correlation TEXT NOT NULL)
            WITHOUT ROWID;
        """
    )


STEPS = {
    "0001_notificaties_and_deliveries": _first,
    "0002_giving_back": _giving_back,
    "0003_instance": _instance,
    "0004_judging": _judging,
    "0005_replays": _replays,
    "0006_incomplete": _incomplete,
    "0007_sent_again": _sent_again,
    "0008_no_count_of_retries": _no_count_of_retries,
    "0009_took": _took,
    "0010_traces": _traces,
    "0011_last_sent_again": _last_sent_again,
    "0012_replays_of_what_is_lacking": _lacking,
    "0013_lane": _lane,
}
COMPATIBLE = frozenset({"0011_last_sent_again", "0012_replays_of_what_is_lacking", "0013_lane"})
"""Those beside which a program works that does not know them (store/files/schema_steps.py)."""


def contents(vault: Vault, *, readers: int = READERS, longest_read: float | None = None) -> Contents:
    """The ledger as the contents of a SqliteFile; opening the file opens the vault."""

    def migrate(db: Database, file: Path) -> Sequence[str]:
        done = apply_steps(db, file, STEPS, compatible=COMPATIBLE, before=lambda *_: None, faults=LEDGER)
        _keep_key(db, vault)
        return done

    return Contents(
        faults=LEDGER,
        migrate=migrate,
        readers=readers,
        longest_read=longest_read,
        secure_delete=False,
        cache=CACHE,
    )


def hash_key(db: Database, vault: Vault) -> bytes:
    """The key of the hashes in this ledger, the same as long as it exists. Raises LedgerError."""
    (sealed,) = db.execute("SELECT value FROM secret WHERE name = ?", [NAME]).fetchone()
    return unsealed(sealed, vault)


def _keep_key(db: Database, vault: Vault) -> None:
    """Make a key, or encrypt it under the vault's first key, so that an older one can be removed."""
    row = db.execute("SELECT value FROM secret WHERE name = ?", [NAME]).fetchone()
    if (again := sealed_anew(row[0] if row else "", vault)) is not None:
        db.execute("INSERT OR REPLACE INTO secret VALUES (?, ?)", [NAME, again])
