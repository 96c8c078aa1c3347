"""The registry's tables, behind one protocol (`store.registry.Registry`); SQLite is the embedded default.

Every write gets the next change number, so that copies elsewhere can ask what they missed.
"""
