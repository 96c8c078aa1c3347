"""Notificaties: which are meant, what comes, and having them delivered again.

ids.py           ids that are typed in part
finding.py       which notificaties are meant by the URL, UUID or id that is typed
following.py     what is new in the ledger since it was last asked
newest.py        the newest of a search, and what became of those
redelivering.py  a delivery made again, made now, or not made any more
replays.py       replays: counted, begun, paused, resumed, stopped
"""
