"""The HTTP API of the standard, and its pages.

`app` lists every route. `publish` is the hot path: POST /notificaties on one screen. `kanalen` and
`abonnementen` are the other endpoints, `pages` and `openapi` what people and generators read, `health` what
a load balancer asks.

What they share: `state` (the parts of a running gateway, and who may go on), `tokens` (who calls),
`requests` (Accept, query, body, the root URL), `aside` (what would hold up the event loop), `checks` (fields
that depend on other kanalen), `callback_check` (addresses that must answer), `repairs` (exchanges that were
deleted), `answers` and `problems` (what goes back; the one place that maps exceptions). `protocol`
below all that is the HTTP connection; `service` starts and stops it.

Declares nothing in RabbitMQ: it asks the router.
"""
