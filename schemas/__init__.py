"""The types that every process shares: kanaal, abonnement, notificatie, application, and the exceptions.

Owns field rules and the exception tree. Does no I/O and knows neither HTTP nor AMQP.

    kanaal.py       a kanaal, and its slots
    abonnement.py   an abonnement: kanalen, filters, state
    callback_auth/  what a callback asks for beyond its Authorization header
    delivery_options/  how an abonnement wants to be delivered to
    notificatie.py  a notificatie, and the bytes that are delivered
    application.py  a client of the API: its secret, scopes and tokens
    user.py         a user of the console, and a session
    alert.py        what operators are warned of, and where messages go
    fields.py       rules of single fields, with codes and Dutch reasons
    errors.py       the exception tree
    jsontext.py     reading and writing JSON without changing a digit of a number
    events/         CloudEvents: what an abonnement may ask for of them, and which one a notificatie becomes
    urls.py         parsing URLs from untrusted texts
"""
