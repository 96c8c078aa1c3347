"""`nrc undeliverable`: notificaties that could not be delivered.

commands.py      list, show, resend and remove
presentation.py  one delivery: where it is, as a row of a table and as JSON
"""
