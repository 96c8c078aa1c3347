"""Outcomes: what became of each delivery.

account.py        what the ledger is told and asked: outcomes, heartbeats, the row before a second attempt
acknowledging.py  when a delivered message is acknowledged: once the ledger has its outcome
last_failures.py  the last failure of each abonnement, for `nrc abonnement list`
"""
