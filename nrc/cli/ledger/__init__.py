"""`nrc ledger`: the keeper's process, and what operators see and decide of the ledger.

commands.py  the process, status, gaps
telling.py   what it has, in words and as JSON
audit.py     what is unsure, and deciding on it
rebuild.py   a new ledger of what can be read of a damaged one
"""
