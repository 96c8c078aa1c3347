"""The registry in a SQLite file.

registry.py           the SQL of every method of the protocol
schema.py             the tables, as steps that only go forward
users.py              the console's users and their sessions
alerts.py             what operators are warned of, and what is to be sent
acts.py               the table of operators' acts: the audit trail
kanalen_versions.py   the table of the kanalen and filters that an abonnement had, and when
state_versions.py     the table of the states that an abonnement had, why and by what
ac_answers.py         the table of what the Autorisaties API last said of each client
secret_uses.py        the table of the last uses of applications' secrets
encrypted_columns.py  which columns are encrypted, and the SQL over all of them
backup.py             a copy of the file, made while processes use it
"""
