"""Notificaties: found, followed as they come, told, explained, and sent again.

criteria.py   what is searched for, by the query of the page: pure
listing.py    what was found, and what comes meanwhile
one.py        one notificatie, and what became of it for each abonnement
why.py        why an abonnement got it, or not: each filter against each kenmerk
acting.py     send again, try now, drop: asked once more, then done
noting.py     what became of what was done, for the logboek
telling.py    what these pages share: states in words, ledger and registry put together
"""
