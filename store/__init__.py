"""The registry: kanalen, abonnementen, applications, and what processes note of them.

    registry.py  the protocol of a store (tests/contract/stores/test_registry.py)
    users.py     the protocol of a store for the console's users and their sessions
    secret_uses.py  when each secret of an application was last used, and from where
    alert_rows.py  alerts as table rows and back, for every store
    alerts.py    the protocol of a store for alerts: rules, destinations, what is to be sent
    state_since.py  since when an abonnement is in its state
    opening.py   makes the store that the settings name
    secrets.py   secrets at rest: the keys, and the form of an encrypted value
    changing.py  what a change makes of a kanaal or an abonnement
    rows.py      values as rows and back
    faults.py    the errors of a store, by what is in it
    sqlite/      the registry in a SQLite file
    postgresql/  the registry in a PostgreSQL database
    moving/      moves a registry from one store to the other
    files/       SQLite files in general, the ledger's too: threads, faults, schema steps, one host at a time
    database/    PostgreSQL databases in general, the ledger's too: transactions, faults, schema steps, LISTEN

Every write gets the next change number, so that copies in other processes can ask for what they lack.
"""
