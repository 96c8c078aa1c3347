"""What a system needs: docs/capacity.md.

costs.py  measures what a notificatie and each of its deliveries cost
stores.py what PostgreSQL costs in place of SQLite files
"""
