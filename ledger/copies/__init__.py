"""Copies of the ledger: which one this is, an older one that was put back, a standby, backup and restore.

instance.py   which ledger this is, and whether it is older than what the registry noted of it; the table
recent.py     what this process wrote last, to write it again where a standby took over that lacks it
copying.py    copies a ledger's file, and checks a copy
salvaging.py  what of a ledger that is damaged is taken over into a new one
damaged_file.py    a damaged one in a SQLite file, and what can be read of it
damaged_tables.py  the same in PostgreSQL
unfinished.py what one still has to do, before the registry moves away from it
"""
