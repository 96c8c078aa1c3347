"""How a message reaches operators: by a webhook, or by mail.

webhook.py  POSTs messages as CloudEvents
mail.py     sends messages by SMTP
sockets.py  a connection to an address that the guard of callbacks allows
faults.py   why a message did not arrive
"""
