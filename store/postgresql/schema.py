"""The PostgreSQL registry's tables, as named steps that only go forward.

A step that has been released is never changed: a fault in it is repaired by a new step. The columns are those
of store/rows.py. Texts sort by their code points, whatever the database's locale is. Times are Unix seconds.
"""

from __future__ import annotations

from store.alert_rows import first_settings
from store.database.address import Connection
from store.database.schema_steps import Step
from store.postgresql.ac_answers import TABLE as AC_ANSWERS_TABLE
from store.postgresql.statements import insert


async def _first(connection: Connection) -> None:
    # filters, slots, kanalen, scopes, hold and facts are JSON, as it was written. `counter` has one row:
    # change is the number of the last change, forgotten that of the newest removal whose tombstone (in
    # `removed`) was cleared away. `mark` is encrypted_columns.py's, `about` acts.py's.
    await connection.execute(
        """
        CREATE TABLE counter (one integer PRIMARY KEY CHECK (one = 1), change bigint NOT NULL,
            forgotten bigint NOT NULL);
        INSERT INTO counter VALUES (1, 0, 0);
        CREATE TABLE mark (one integer PRIMARY KEY CHECK (one = 1), value text NOT NULL);

        CREATE TABLE kanaal (uuid text COLLATE "C" PRIMARY KEY, naam text COLLATE "C" NOT NULL UNIQUE,
            documentatie_link text NOT NULL, filters text NOT NULL, slots text NOT NULL,
            change bigint NOT NULL, client_id text COLLATE "C" NOT NULL);
        CREATE INDEX kanaal_change ON kanaal (change);
        CREATE INDEX kanaal_client_id ON kanaal (client_id);
        CREATE TABLE abonnement (uuid text COLLATE "C" PRIMARY KEY, callback_url text NOT NULL,
            auth text NOT NULL, kanalen text NOT NULL, client_id text COLLATE "C" NOT NULL,
            state text NOT NULL, state_reason text NOT NULL, hold text NOT NULL, change bigint NOT NULL,
            kanalen_change bigint NOT NULL);
        CREATE INDEX abonnement_change ON abonnement (change);
        CREATE INDEX abonnement_client_id ON abonnement (client_id);
        CREATE TABLE application (client_id text COLLATE "C" PRIMARY KEY, secret text NOT NULL,
            label text NOT NULL, scopes text NOT NULL, scopes_from_token integer NOT NULL,
            old_secret text NOT NULL, old_secret_until double precision NOT NULL, change bigint NOT NULL);
        CREATE INDEX application_change ON application (change);
        CREATE TABLE removed (kind text NOT NULL, key text COLLATE "C" NOT NULL, change bigint NOT NULL,
            at double precision NOT NULL, PRIMARY KEY (kind, key));
        CREATE INDEX removed_change ON removed (change);

        CREATE TABLE failure (uuid text COLLATE "C" PRIMARY KEY, at double precision NOT NULL,
            detail text NOT NULL);
        CREATE TABLE declared (kind text NOT NULL, key text COLLATE "C" NOT NULL,
            owner text COLLATE "C" NOT NULL, orphan_since double precision, PRIMARY KEY (kind, key));
        CREATE INDEX declared_owner ON declared (owner);
        CREATE TABLE kanalen_version (abonnement text COLLATE "C" NOT NULL, change bigint NOT NULL,
            kanalen text NOT NULL, valid_from double precision NOT NULL, valid_until double precision,
            made_at double precision, removed_at double precision, clock double precision,
            PRIMARY KEY (abonnement, change));
        CREATE INDEX kanalen_version_ended ON kanalen_version (valid_until) WHERE valid_until IS NOT NULL;
        CREATE TABLE state_version (nr bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            abonnement text COLLATE "C" NOT NULL, state text NOT NULL, reason text NOT NULL,
            changed_by text NOT NULL, valid_from double precision NOT NULL, valid_until double precision);
        CREATE INDEX state_version_abonnement ON state_version (abonnement, nr);
        CREATE INDEX state_version_ended ON state_version (valid_until) WHERE valid_until IS NOT NULL;
        CREATE TABLE secret_use (client_id text COLLATE "C" PRIMARY KEY, new_at double precision,
            new_remote text NOT NULL, new_agent text NOT NULL, old_at double precision,
            old_remote text NOT NULL, old_agent text NOT NULL);
        CREATE TABLE ledger (one integer PRIMARY KEY CHECK (one = 1), instance text NOT NULL,
            mark bigint NOT NULL, at bigint NOT NULL);

        CREATE TABLE act (nr bigint PRIMARY KEY, at double precision NOT NULL, act text NOT NULL,
            command text NOT NULL, "user" text NOT NULL, sudo_user text NOT NULL, host text NOT NULL,
            facts text NOT NULL, about jsonb NOT NULL);
        CREATE FUNCTION act_is_only_appended_to() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'what operators did is only appended to'; END $$;
        CREATE TRIGGER act_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON act
            FOR EACH STATEMENT EXECUTE FUNCTION act_is_only_appended_to();

        CREATE TABLE console_user (name text COLLATE "C" PRIMARY KEY, password text NOT NULL,
            role text NOT NULL, made double precision NOT NULL, failures integer NOT NULL,
            locked_until double precision NOT NULL, logged_in double precision, issuer text NOT NULL,
            shown text NOT NULL);
        CREATE TABLE console_session (key text COLLATE "C" PRIMARY KEY, "user" text COLLATE "C" NOT NULL,
            began double precision NOT NULL, seen double precision NOT NULL, address text NOT NULL,
            id_token text NOT NULL);
        CREATE INDEX console_session_user ON console_session ("user");
        """
    )


async def _alerts(connection: Connection) -> None:
    # As in store/sqlite/alerts.py.
    await connection.execute(ALERTS_TABLES)
    await insert(connection, "alert_setting", first_settings())


async def _server(connection: Connection) -> None:
    # When the server started on which the last change was made; those who move a registry leave it out.
    await connection.execute(
        "ALTER TABLE counter ADD COLUMN server timestamptz NOT NULL DEFAULT pg_postmaster_start_time()"
    )


async def _scopes_from_ac(connection: Connection) -> None:
    # As in store/sqlite/schema.py.
    await connection.execute("ALTER TABLE application ADD COLUMN scopes_from_ac integer NOT NULL DEFAULT 0")


async def _ac_answers(connection: Connection) -> None:
    # As in store/sqlite/schema.py.
    await connection.execute(AC_ANSWERS_TABLE)


async def _callback_auth(connection: Connection) -> None:
    # As in store/sqlite/schema.py.
    await connection.execute("ALTER TABLE abonnement ADD COLUMN callback_auth text NOT NULL DEFAULT ''")


async def _delivery_options(connection: Connection) -> None:
    # As in store/sqlite/schema.py.
    await connection.execute("ALTER TABLE abonnement ADD COLUMN options text NOT NULL DEFAULT ''")


async def _event_mappings(connection: Connection) -> None:
    # As in store/sqlite/schema.py.
    await connection.execute(
        'CREATE TABLE event_mapping (name text COLLATE "C" PRIMARY KEY, rules text NOT NULL)'
    )


STEPS = {
    "0001_registry": Step(_first),
    "0002_alerts": Step(_alerts),
    "0003_server_of_the_last_change": Step(_server, compatible=True),
    "0004_scopes_from_ac": Step(_scopes_from_ac, compatible=True),
    "0005_ac_answers": Step(_ac_answers, compatible=True),
    "0006_callback_auth": Step(_callback_auth, compatible=True),
    "0007_delivery_options": Step(_delivery_options, compatible=True),
    "0008_event_mappings": Step(_event_mappings, compatible=True),
}

NEXT_CHANGE = """
    WITH next AS (UPDATE counter SET server = pg_postmaster_start_time(),
        change = change + CASE server WHEN pg_postmaster_start_time() THEN 1 ELSE 1000000 END,
        forgotten = CASE server WHEN pg_postmaster_start_time() THEN forgotten ELSE change + 999999 END
        RETURNING change)
    SELECT change, pg_notify(%s, '') FROM next
    """
"""Takes the next change number, and notifies at the commit. After LOCK.

A standby that took over may lack changes that copies have, and would use their numbers again: a copy that has
4 of the one that was lost would never ask for the 4 that came later. So the first change on a server that was
started since the last one leaves more numbers out than it may lack, and each copy from before it is read
whole (`forgotten`).
"""

ALERTS_TABLES = """
    CREATE TABLE alert_setting (name text COLLATE "C" PRIMARY KEY, value text NOT NULL, secret text NOT NULL);
    CREATE TABLE alert_lease (one integer PRIMARY KEY CHECK (one = 1), holder text NOT NULL,
        until double precision NOT NULL);
    CREATE TABLE alert (subject text COLLATE "C" PRIMARY KEY, rule text NOT NULL, code text NOT NULL,
        since double precision NOT NULL, told integer NOT NULL, told_at double precision,
        count bigint NOT NULL, over double precision, notice text);
    CREATE TABLE alert_message (channel text NOT NULL, subject text COLLATE "C" NOT NULL,
        at double precision NOT NULL, notice text NOT NULL, PRIMARY KEY (channel, subject));
    CREATE TABLE alert_sending (channel text PRIMARY KEY, failing_since double precision,
        failures integer NOT NULL, error text NOT NULL, next_try double precision NOT NULL,
        last_sent double precision);
    CREATE TABLE certificate (host text COLLATE "C" NOT NULL, port integer NOT NULL,
        looked double precision NOT NULL, ends double precision, fault text NOT NULL,
        PRIMARY KEY (host, port));
"""

LOCK = "SELECT 1 FROM counter FOR UPDATE;"
"""Locks out every other write until the end of the transaction, so that change numbers are seen in order."""
