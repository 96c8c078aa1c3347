"""What a system needs: docs/capacity.md.

model.py    what a demand needs, from constants that were measured
command.py  prints that as a table
costs.py    measures what a notificatie and each of its deliveries cost
stores.py   what PostgreSQL costs in place of SQLite files
"""
