"""The registry in a SQLite file.

registry.py           the SQL of every method of the protocol
schema.py             the tables, as steps that only go forward
rows.py               values as rows and back
users.py              the console's users and their sessions
acts.py               the table of what operators did
kanalen_versions.py   the table of which kanalen and filters an abonnement had, and when
encrypted_columns.py  which columns are encrypted, and the SQL over all of them
backup.py             a copy of the file, made while processes use it
"""
