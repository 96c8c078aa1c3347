"""The shapes that every process shares: kanaal, abonnement, notificatie, application, and the faults.

Owns field rules and the exception tree. Does no I/O and knows neither HTTP nor AMQP.

    kanaal.py       a kanaal, and its slots
    abonnement.py   an abonnement: kanalen, filters, state
    notificatie.py  a notificatie, and the bytes in which it goes out
    application.py  a client of the API: its secret and scopes
    user.py         a user of the console, and a session
    fields.py       rules of single fields, with codes and Dutch reasons
    errors.py       the exception tree
    jsontext.py     JSON in and out, digit for digit
    urls.py         URLs that anyone may have written
"""
