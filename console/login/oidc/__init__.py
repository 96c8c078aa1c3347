"""Logging in by OpenID Connect: the code flow with PKCE, at the one provider that the settings name.

The protocol is authlib's, signatures are joserfc's; the requests are aiohttp's.

    addresses.py the addresses that take part
    routes.py    what they do: to the provider, and back from it
    attempt.py   one attempt: its state, nonce and PKCE verifier, all from one random cookie
    provider.py  the provider: its discovery document, code to tokens, logging out there
    keys.py      its public keys, fetched again when a token was signed with another
    requests.py  requests to it, of which each failure is a LoginFailed
    id_token.py  whether an id_token is one for this login
    claims.py    who that is, and with which role
    faults.py    LoginFailed: what went wrong, in Dutch for the page, in English for the log
"""
