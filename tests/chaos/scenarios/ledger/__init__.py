"""Faults of the ledger: of its database, and of its keepers."""
