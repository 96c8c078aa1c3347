"""Moves a ledger to another store together with its registry, row by row, while nothing runs.

tables.py           what a ledger has, in columns that do not depend on its store
side.py             what the moving asks of each of both stores
reading.py          rows of a store as rows of tables.py, in the order of their keys
moving.py           copies every row, and compares all before anything counts
sqlite_side.py      a SQLite file as source or as target
postgresql_side.py  a PostgreSQL database as source or as target
whole.py            registry and ledger together: both are moved, or neither
"""
