"""The SQLite registry's tables, as named steps that only go forward.

A step that has been released is never changed: a fault in it is repaired by a new step. The names of the
applied ones are in the file itself, so an older program sees that a newer one wrote it.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlite_utils import Database

from runtime.log import logger
from store.faults import REGISTRY
from store.files.schema_steps import apply_steps
from store.files.sqlite_file import Contents
from store.files.upgrade import copy_name, keep_copy, scrub
from store.secrets import Vault
from store.sqlite.ac_answers import TABLE as AC_ANSWERS_TABLE
from store.sqlite.acts import TABLE as ACTS_TABLE
from store.sqlite.alerts import TABLES as ALERTS_TABLES
from store.sqlite.alerts import make_settings
from store.sqlite.encrypted_columns import keys_in_use, seal_plain
from store.sqlite.secret_uses import TABLE as SECRET_USES_TABLE
from store.sqlite.state_versions import TABLE as STATE_VERSIONS_TABLE
from store.sqlite.users import TABLES as USERS_TABLES

Step = Callable[[Database, Vault], None]

log = logger(__name__)


def _first(db: Database, _: Vault) -> None:
    # filters, slots, kanalen and scopes are JSON. `counter` has one row: change is the number of the last
    # change, forgotten that of the newest removal whose tombstone (in `removed`) was cleared away.
    db.executescript(
        """
        CREATE TABLE counter (id INTEGER PRIMARY KEY CHECK (id = 1),
            change INTEGER NOT NULL, forgotten INTEGER NOT NULL);
        INSERT INTO counter VALUES (1, 0, 0);
        CREATE TABLE kanaal (uuid TEXT PRIMARY KEY, naam TEXT NOT NULL UNIQUE,
            documentatie_link TEXT NOT NULL, filters TEXT NOT NULL, slots TEXT NOT NULL,
            generation INTEGER NOT NULL, change INTEGER NOT NULL);
        CREATE INDEX kanaal_change ON kanaal (change);
        CREATE TABLE abonnement (uuid TEXT PRIMARY KEY, callback_url TEXT NOT NULL, auth TEXT NOT NULL,
            kanalen TEXT NOT NULL, client_id TEXT NOT NULL, state TEXT NOT NULL, state_reason TEXT NOT NULL,
            change INTEGER NOT NULL);
        CREATE INDEX abonnement_change ON abonnement (change);
        CREATE INDEX abonnement_client_id ON abonnement (client_id);
        CREATE TABLE application (client_id TEXT PRIMARY KEY, secret TEXT NOT NULL, label TEXT NOT NULL,
            scopes TEXT NOT NULL, scopes_from_token INTEGER NOT NULL, old_secret TEXT NOT NULL,
            old_secret_until REAL NOT NULL, change INTEGER NOT NULL);
        CREATE INDEX application_change ON application (change);
        CREATE TABLE removed (kind TEXT NOT NULL, key TEXT NOT NULL, change INTEGER NOT NULL,
            at REAL NOT NULL, PRIMARY KEY (kind, key));
        CREATE INDEX removed_change ON removed (change);
        """
    )


def _declared(db: Database, _: Vault) -> None:
    db.executescript(
        """
        CREATE TABLE declared (kind TEXT NOT NULL, key TEXT NOT NULL, owner TEXT NOT NULL, orphan_since REAL,
            PRIMARY KEY (kind, key));
        CREATE INDEX declared_owner ON declared (owner);
        """
    )


def _lease(db: Database, _: Vault) -> None:
    # A row per open registry: `boot` identifies the host, `at` (Unix seconds) is the last renewal.
    db.executescript(
        """
        CREATE TABLE lease (holder TEXT PRIMARY KEY, boot TEXT NOT NULL, host TEXT NOT NULL,
            at REAL NOT NULL);
        """
    )


def _encrypted(db: Database, vault: Vault) -> None:
    # From here on `auth`, `secret` and `old_secret` are encrypted by store/secrets.py, or empty.
    seal_plain(db, vault)


def _hold(db: Database, _: Vault) -> None:
    # hold is JSON ([since, probes, next_probe], times in Unix seconds), or empty for one that is not held.
    # `failure` has the last failed attempt of each abonnement, for operators; it is no change.
    db.executescript(
        """
        ALTER TABLE abonnement ADD COLUMN hold TEXT NOT NULL DEFAULT '';
        CREATE TABLE failure (uuid TEXT PRIMARY KEY, at REAL NOT NULL, detail TEXT NOT NULL);
        """
    )


def _kanaal_owner(db: Database, _: Vault) -> None:
    # Who made a kanaal, for its quota; empty for those from before this step.
    db.executescript(
        """
        ALTER TABLE kanaal ADD COLUMN client_id TEXT NOT NULL DEFAULT '';
        CREATE INDEX kanaal_client_id ON kanaal (client_id);
        """
    )


def _between_attempts(db: Database, _: Vault) -> None:
    # Notificaties between two attempts, in no queue of an abonnement; due in Unix seconds. No change.
    db.executescript(
        """
        CREATE TABLE between_attempts (notificatie TEXT NOT NULL, abonnement TEXT NOT NULL,
            attempts INTEGER NOT NULL, due REAL NOT NULL,
            PRIMARY KEY (notificatie, abonnement)) WITHOUT ROWID;
        CREATE INDEX between_attempts_due ON between_attempts (due);
        """
    )


def _kanalen_versions(db: Database, _: Vault) -> None:
    # kanalen_change: the change at which kanalen last changed. `kanalen_version` has present and former ones,
    # in the same JSON; times are Unix seconds. NULL: valid_until in the version that is valid now, removed_at
    # unless the version ended with its abonnement, made_at for abonnementen from before this step.
    db.executescript(
        """
        ALTER TABLE abonnement ADD COLUMN kanalen_change INTEGER NOT NULL DEFAULT 0;
        UPDATE abonnement SET kanalen_change = change;
        CREATE TABLE kanalen_version (abonnement TEXT NOT NULL, change INTEGER NOT NULL,
            kanalen TEXT NOT NULL, valid_from REAL NOT NULL, valid_until REAL, made_at REAL, removed_at REAL,
            PRIMARY KEY (abonnement, change)) WITHOUT ROWID;
        CREATE INDEX kanalen_version_ended ON kanalen_version (valid_until) WHERE valid_until IS NOT NULL;
        """
    )
    db.execute(
        "INSERT INTO kanalen_version (abonnement, change, kanalen, valid_from) "
        "SELECT uuid, kanalen_change, kanalen, ? FROM abonnement",
        [time.time()],
    )


def _acts(db: Database, _: Vault) -> None:
    # What operators did; only appended to. at in Unix seconds, facts is JSON. No change.
    db.executescript(ACTS_TABLE)


def _ledger(db: Database, _: Vault) -> None:
    # Which ledger was in use last, and its mark (ledger/copies/instance.py); at in milliseconds. No change.
    db.executescript(
        """
        CREATE TABLE ledger (one INTEGER PRIMARY KEY CHECK (one = 1), instance TEXT NOT NULL,
            mark INTEGER NOT NULL, at INTEGER NOT NULL);
        """
    )


def _no_between_attempts(db: Database, _: Vault) -> None:
    # The ledger has it.
    db.execute("DROP TABLE between_attempts")


def _one_exchange_per_kanaal(db: Database, _: Vault) -> None:
    # A kanaal keeps its exchange, and a new queue need not wait: the notes of both are not needed any more.
    db.executescript(
        """
        ALTER TABLE kanaal DROP COLUMN generation;
        DELETE FROM declared WHERE kind = 'renewed';
        UPDATE declared SET kind = 'young' WHERE kind = 'unrested';
        """
    )


def _owner_of_kanaal(db: Database, _: Vault) -> None:
    # A kanaal's naam may be equal to an abonnement's UUID, which is the owner of the abonnement's things.
    db.execute(
        "UPDATE declared SET owner = 'kanaal ' || owner "
        "WHERE kind = 'exchange' AND substr(key, 1, 11) = 'nrc.kanaal.'"
    )


def _users(db: Database, _: Vault) -> None:
    # Who may use the console, and who is logged in there. No change.
    db.executescript(USERS_TABLES)


def _secret_uses(db: Database, _: Vault) -> None:
    # When the secrets of an application were last used, and from where. No change.
    db.executescript(SECRET_USES_TABLE)


def _state_versions(db: Database, _: Vault) -> None:
    # The states that abonnementen had; of those that are there already only from now on.
    db.executescript(STATE_VERSIONS_TABLE)
    db.execute(
        "INSERT INTO state_version (abonnement, state, reason, changed_by, valid_from) "
        "SELECT uuid, state, state_reason, 'unknown', ? FROM abonnement",
        [time.time()],
    )


def _openid_users(db: Database, _: Vault) -> None:
    # Who logs in by OpenID Connect, and with what their provider knows a session. No change.
    db.executescript(
        """
        ALTER TABLE console_user ADD COLUMN issuer TEXT NOT NULL DEFAULT '';
        ALTER TABLE console_user ADD COLUMN shown TEXT NOT NULL DEFAULT '';
        ALTER TABLE console_session ADD COLUMN id_token TEXT NOT NULL DEFAULT '';
        """
    )


def _pulled(db: Database, _: Vault) -> None:
    # Besides the column: an older process that runs on reads this registry no more, so it never meets an
    # abonnement without a callback. clock: as of KanalenVersion; NULL for versions from before this step.
    db.executescript("ALTER TABLE kanalen_version ADD COLUMN clock REAL;")


def _alerts(db: Database, _: Vault) -> None:
    # Of what operators are warned, what is to be sent, and certificates of callbacks. No change.
    db.executescript(ALERTS_TABLES)
    make_settings(db)


def _scopes_from_ac(db: Database, _: Vault) -> None:
    # Applications that take their scopes from the Autorisaties API. To an older program they have none.
    db.execute("ALTER TABLE application ADD COLUMN scopes_from_ac INTEGER NOT NULL DEFAULT 0")


def _ac_answers(db: Database, _: Vault) -> None:
    # What the Autorisaties API last said of each client, for gateways that start while it is away. No change.
    db.execute(AC_ANSWERS_TABLE)


def _callback_auth(db: Database, _: Vault) -> None:
    # What a callback asks for beyond `auth`, encrypted JSON, or empty. To an older program there is none.
    db.execute("ALTER TABLE abonnement ADD COLUMN callback_auth TEXT NOT NULL DEFAULT ''")


def _delivery_options(db: Database, _: Vault) -> None:
    # How an abonnement wants to be delivered to, JSON, or empty. To an older program there is none.
    db.execute("ALTER TABLE abonnement ADD COLUMN options TEXT NOT NULL DEFAULT ''")


def _event_mappings(db: Database, _: Vault) -> None:
    # Own mappings of notificaties to CloudEvents; rules is JSON (schemas/events/mapping.py). Older programs
    # do not look at these.
    db.execute("CREATE TABLE event_mapping (name TEXT PRIMARY KEY, rules TEXT NOT NULL) WITHOUT ROWID")


ENCRYPTED = "0004_encrypted"

STEPS: dict[str, Step] = {
    "0001_kanalen_abonnementen_applications": _first,
    "0002_declared": _declared,
    "0003_lease": _lease,
    ENCRYPTED: _encrypted,
    "0005_hold": _hold,
    "0006_kanaal_owner": _kanaal_owner,
    "0007_between_attempts": _between_attempts,
    "0008_kanalen_versions": _kanalen_versions,
    "0009_acts": _acts,
    "0010_ledger": _ledger,
    "0011_no_between_attempts": _no_between_attempts,
    "0012_one_exchange_per_kanaal": _one_exchange_per_kanaal,
    "0013_owner_of_kanaal": _owner_of_kanaal,
    "0014_users": _users,
    "0015_secret_uses": _secret_uses,
    "0016_state_versions": _state_versions,
    "0017_openid_users": _openid_users,
    "0018_pulled": _pulled,
    "0019_alerts": _alerts,
    "0020_scopes_from_ac": _scopes_from_ac,
    "0021_ac_answers": _ac_answers,
    "0022_callback_auth": _callback_auth,
    "0023_delivery_options": _delivery_options,
    "0024_event_mappings": _event_mappings,
}
COMPATIBLE = frozenset(
    {"0020_scopes_from_ac", "0021_ac_answers", "0022_callback_auth", "0023_delivery_options"}
    | {"0024_event_mappings"}
)
"""Those beside which a program works that does not know them (store/files/schema_steps.py)."""


def contents(vault: Vault) -> Contents:
    """The registry as the contents of a SqliteFile; opening the file opens the vault."""
    return Contents(
        faults=REGISTRY,
        migrate=lambda db, file: migrate(db, file, vault),
        migrated=_migrated,
    )


def migrate(db: Database, file: Path, vault: Vault) -> list[str]:
    """Bring the tables to this program's form, within the caller's transaction; returns the steps done.

    Opens `vault`, and keeps a copy of a file that was in use before. Raises RegistryTooNew when the file has
    steps that this program does not know, SecretsUnreadable when a key is missing, RegistryError when the
    file is another program's or no copy can be made.
    """

    def before(applied: set[str], pending: Sequence[str]) -> None:
        # A value that is no longer encrypted is a fault of its row, found when that is read.
        vault.open(keys_in_use(db).keys() - {""} if ENCRYPTED in applied else ())
        if applied and pending:
            keep_copy(file, pending[0])

    steps = {name: _with(vault, step) for name, step in STEPS.items()}
    return apply_steps(db, file, steps, compatible=COMPATIBLE, before=before, faults=REGISTRY)


def _migrated(db: Database, file: Path, done: Sequence[str]) -> None:
    """Log an upgrade, and remove plain secrets from unused parts of the file."""
    if len(done) == len(STEPS):
        return
    copy = copy_name(file, done[0])
    log.info("registry upgraded", file=str(file), steps=done, copy=str(copy))
    if ENCRYPTED in done:
        scrub(db, file)
        log.warning("the copy holds secrets in plain text; remove it once all works", copy=str(copy))


def _with(vault: Vault, step: Step) -> Callable[[Database], None]:
    @functools.wraps(step)
    def apply(db: Database) -> None:
        step(db, vault)

    return apply
