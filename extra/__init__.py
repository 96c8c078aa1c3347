"""What a consumer sees of its own abonnementen, beside the standard's API: `/api/extra/v1`, in the gateway.

For the ordinary token of the application that owns an abonnement, or that published a notificatie. Everything
else is not found: nobody learns here what another has. Reads the ledger over a connection of its own, so that
what is asked here never waits in the way of POST /notificaties.

mounting.py      adds the routes to a gateway, and opens what they need
asking.py        who asks, how often, about which abonnement: what every handler begins with
rates.py         how many requests an application may make
condition.py     GET /abonnement and /abonnement/{uuid}/status: which are one's own, and how they are doing
missed.py        GET /abonnement/{uuid}/notificaties: what it did not get
redelivering.py  POST /abonnement/{uuid}/redeliver: once more, by the keeper
trying.py        POST /abonnement/{uuid}/test: a message to its callback, and the answer
callback_auth.py /abonnement/{uuid}/callback-auth: what its callback asks for beyond `auth`
options.py       /abonnement/{uuid}/options: how it wants to be delivered to
explaining.py    GET /abonnement/{uuid}/uitleg/{notificatie} and POST /uitleg: why it comes, or not
direct/          abonnementen whose consumer reads a queue of its own in RabbitMQ
pull/            abonnementen without a callback, whose consumers fetch what is for them
published.py     GET /notificaties/{id}: what became of what one published
documents/       the OpenAPI document of these
"""
