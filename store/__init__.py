"""The registry: kanalen, abonnementen, applications, and what processes note of them.

    registry.py  what a store guarantees: the protocol (tests/contract/stores/test_registry.py)
    users.py     what a store guarantees of the console's users and their sessions
    opening.py   which store the settings name
    secrets.py   secrets at rest: the keys, and the form of an encrypted value
    sqlite/      the registry in a SQLite file
    files/       SQLite files in general, the ledger's too: threads, faults, schema steps, one host at a time

Every write gets the next change number, so that copies elsewhere can ask what they missed.
"""
