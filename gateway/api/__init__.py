"""The handlers of the standard's API.

publish.py         POST /notificaties: the hot path, on one screen
cloudevents.py     POST /cloudevents
passing_on.py      X-Batch-Id and X-Correlation-Id of a publisher
kanalen.py         list, read, create and change kanalen
abonnementen.py    list, read, create, change and delete abonnementen
send_cloudevents.py  the fields sendCloudevents and cloudeventFilters, and the handshake with a callback
jwtsecret.py       the token issuer registers an application
checks.py          rules of fields that depend on the registry
attribute_filters.py  filters on `#actie`, `#resource` and `#hoofdObject`
callback_check.py  whether an address that a client registers answers as the standard requires
own_address.py     whether a callbackUrl is this API's own address
"""
