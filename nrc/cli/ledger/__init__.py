"""`nrc ledger`: the keeper's process, and what operators see and decide of the ledger.

commands.py  the process, status, gaps
audit.py     what is unsure, and deciding on it
rebuild.py   a new ledger of what can be read of a damaged one
"""
