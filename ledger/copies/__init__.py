"""Copies of the ledger: which ledger this is, whether an older one was put back, backup and restore.

instance.py   which ledger this is, and whether it is older than what the registry noted of it; the table
copying.py    copies a ledger's file, and checks a copy
salvaging.py  what can still be read of a ledger that is damaged
"""
