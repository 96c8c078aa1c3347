"""The registry: kanalen, abonnementen, applications, and what processes note of them.

    registry.py  the protocol of a store (tests/contract/stores/test_registry.py)
    users.py     the protocol of a store for the console's users and their sessions
    secret_uses.py  when each secret of an application was last used, and from where
    state_since.py  since when an abonnement is in its state
    opening.py   makes the store that the settings name
    secrets.py   secrets at rest: the keys, and the form of an encrypted value
    sqlite/      the registry in a SQLite file
    files/       SQLite files in general, the ledger's too: threads, faults, schema steps, one host at a time

Every write gets the next change number, so that copies in other processes can ask for what they lack.
"""
