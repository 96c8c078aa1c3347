"""HTTP to callbacks, for deliveries and for the callback check of a gateway.

client.py     one POST: its status, or why there is none
authenticating.py  requests to callbacks that ask for more than a fixed Authorization header
own_tls.py    connections of their own for callbacks with a client certificate or authorities of their own
tokens.py     OAuth2 tokens for such callbacks
signing.py    signatures of Standard Webhooks; no I/O
connector.py  the connections: to which addresses, and which are reused
resolver.py   host names to addresses
tls_faults.py which class of failure a TLS fault is; no I/O
dutch.py      why there is no answer, in Dutch for the owner of the callback; no I/O
guard.py      addresses to which nothing is sent; no I/O
responses.py  where a response begins and ends, and how large its header may be; no I/O
"""
