"""HTTP below the handlers: connections, limits, and the form of requests and answers.

protocol.py      one HTTP/1 connection: limits on headers, problems for what never becomes a request
connections.py   how many connections may be open, and which makes room
admission.py     how much may be under way at once: 429 and 503
slow_clients.py  bytes that wait for slow clients, and which client is cut off
large_bodies.py  a thread that reads large bodies, beside the event loop
requests.py      Accept, query, body, hops, and the root URL that a client used
responses.py     JSON answers and the version header
problems.py      the one place where an exception becomes application/problem+json
draining.py      how open connections end when a gateway stops
"""
