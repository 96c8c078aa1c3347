"""The HTTP API of the standard, and its pages. Declares nothing in RabbitMQ: it asks the router.

service.py    the process: what it opens, in which order, and how it stops
app.py        every route
state.py      the parts of a running gateway that all handlers share
tokens.py     who calls, and with which scopes
autorisaties/  scopes from the Autorisaties API, for applications that have them there
secret_uses.py  which secret of an application is still used, for its operators
accepting.py  RabbitMQ and the ledger: which must have a notificatie before its 201
repeats.py    accepts a CloudEvent once, by its source and id
health.py     whether this gateway works, for a load balancer
api/          the handlers: POST /notificaties, kanalen, abonnementen
http/         connections, limits, requests, responses and problems
documents/    the OpenAPI document, and the pages for people
"""
