"""The handlers of the standard's API.

publish.py         POST /notificaties: the hot path, on one screen
kanalen.py         list, read, create and change kanalen
abonnementen.py    list, read, create, change and delete abonnementen
jwtsecret.py       the token issuer registers an application
checks.py          rules of fields that depend on the registry
callback_check.py  whether an address that a client registers answers as the standard requires
own_address.py     whether a callbackUrl is this API's own address
"""
