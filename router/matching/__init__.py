"""Whether a notificatie is for an abonnement.

filters.py  the predicate, which the deliverer applies
index.py    which of all abonnementen match, quickly
"""
