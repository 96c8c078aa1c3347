"""Moves a registry from one store to another, row by row, while nothing runs.

tables.py           which tables are moved, and by what their rows are told apart
side.py             what the moving asks of each of both stores
sealing.py          the encrypted columns of a row, under the keys of the other store
comparing.py        compares the rows of two sides
moving.py           copies every row, and compares all before anything counts
sqlite_side.py      a SQLite file as source or as target
postgresql_side.py  a PostgreSQL database as source or as target
"""
