"""`nrc undeliverable`: what could not be delivered.

commands.py         list, show, resend and remove
listing.py          what `list` lists: rows of the ledger, or what only RabbitMQ has
selection.py        which of them a command is about
ledger_rows.py      rows of the ledger in the form of RabbitMQ's messages
finding.py          where a notificatie is that is not among them
presentation.py     one as a row of a table, and as JSON
ledger_outcomes.py  what the ledger is told of what a command did
"""
