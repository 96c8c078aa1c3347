"""CloudEvents: what an abonnement may ask of them, which event a notificatie becomes, and those of sources.

event.py    an event that a source publishes: its rules, and by what it is matched
structured.py  reads events in JSON: one, or a batch, each with its own bytes
binary.py   the binary form in HTTP, read and written
options.py  the part `cloudevents` of an abonnement's options, and its filters on events
mapping.py  mappings: which event a notificatie becomes, or that it becomes none
"""
