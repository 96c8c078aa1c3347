"""Pacing: abonnementen that want at most so many requests a second, or so many at once.

Of all others nothing here is asked: their UUID is not in `Pacing.gates`.

gates.py    the turns of one abonnement in this process: by rate and by concurrency; no I/O
shares.py   which part of a rate and a concurrency each of the deliverers has; no I/O
pacing.py   follows the options, and the deliverers that live; limits what comes in of each queue
"""
