"""Commands on the registry.

kanaal.py       `nrc kanaal`
abonnement.py   `nrc abonnement`; condition.py the condition of each: state, backlog, last failure
application.py  `nrc application`; secret_uses.py who still uses which secret
rights.py       what the Autorisaties API says of an application, and which take their scopes from it
token.py        `nrc token`
user.py         `nrc user`
secret_keys.py  `nrc secrets`
moving.py       `nrc registry move`
removal.py      keeps or removes what waits for abonnementen that a command removes
"""
