"""HTTP below the handlers: connections, limits, and the form of requests and answers.

protocol.py         one HTTP/1 connection: limits on headers, problems for requests that cannot be parsed
connections.py      the limit on open connections, and which one is closed beyond it
admission.py        limits on what is under way: 429 and 503
slow_clients.py     the limit on bytes buffered for slow clients, and which one is cut off beyond it
large_bodies.py     a thread that reads large bodies, beside the event loop
requests.py         Accept, query, body, hops, and the root URL that a client used
responses.py        JSON answers and the version header
problems.py         the one place where an exception becomes application/problem+json
problem_details.py  the form of that answer
draining.py         closes open connections when a gateway stops
"""
