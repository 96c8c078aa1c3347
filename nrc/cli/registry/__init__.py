"""Commands about what is registered.

kanaal.py       `nrc kanaal`
abonnement.py   `nrc abonnement`; condition.py how each abonnement is doing
application.py  `nrc application`
token.py        `nrc token`
user.py         `nrc user`
secret_keys.py  `nrc secrets`
removal.py      what waits for abonnementen that a command removes, and the question about it
"""
