"""Outcomes: writes what became of each delivery, and then acknowledges.

account.py        writes outcomes and heartbeats to the ledger; reads the row before a second attempt
acknowledging.py  when a delivered message is acknowledged: once the ledger has its outcome
last_failures.py  the last failure of each abonnement, for `nrc abonnement list`
"""
