"""`nrc undeliverable`: what could not be delivered.

commands.py      list, show, resend and remove
presentation.py  one delivery as a row of a table, as JSON, and where it is
"""
