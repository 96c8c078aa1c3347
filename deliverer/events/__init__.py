"""CloudEvents to callbacks: the event that a notificatie becomes, and the consent of a callback.

event.py      an event by a mapping, by the NL GOV profile; no I/O
request.py    the body and headers of the request that carries it; no I/O
handshake.py  asks a callback by OPTIONS whether it wants events from here, and how many a minute
"""
