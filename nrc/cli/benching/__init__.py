"""`nrc bench`: loads any NRC through the standard's API alone, and accounts for every delivery.

bench.py       the command: its options, and what it prints
running.py     one run: two clients, the load, the wait for what is still to come
standard.py    kanaal and abonnementen through the standard's API, and their removal
load.py        the notificaties, and when each is sent; the package `bench` sends by it too
callbacks.py   the callback of each abonnement
account.py     what was published, answered and delivered, and what of it was lost or came twice
"""
