"""The registry in a PostgreSQL database.

registry.py           the SQL of every method of the protocol
schema.py             the tables, as steps that only go forward
statements.py         the few statements that all of these use
users.py              the console's users and their sessions
alerts.py             what operators are warned of, and what is to be sent
acts.py               the table of operators' acts: the audit trail
kanalen_versions.py   the table of the kanalen and filters that an abonnement had, and when
state_versions.py     the table of the states that an abonnement had
ac_answers.py         the table of what the Autorisaties API last said of each client
secret_uses.py        the table of when secrets were last used
encrypted_columns.py  the SQL over all encrypted columns, and the mark of the key in use
"""
