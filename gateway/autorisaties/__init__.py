"""Scopes from the Autorisaties API (AC), where NRC_AC_URL names one. Secrets are never there.

answers.py     what an answer of the AC says of a client. Pure
asking.py      one question to the AC, bounded in size and time
rights.py      what is known of each client: how long it counts, and what happens while the AC is away
keeping.py     what was said last, kept in the registry for gateways that start while the AC is away
notices.py     a notificatie about an applicatie, told to every gateway
callbacks.py   POST /callbacks: the same notificatie, of another NRC
"""
