"""The callback inbox: addresses that take what is POSTed to them, and show it. Started by `nrc up` only.

A process of its own. It keeps everything in memory, within bounds, and knows nothing of kanalen,
abonnementen or RabbitMQ: to the rest of the product it is a callback like any other.

    service.py     the process, from start to stop
    app.py         every route, and how faults are answered
    answering.py   what a callback address does with a request
    behaviour.py   what an inbox answers, as its owner set it; pure
    inboxes.py     all inboxes in memory: bounds, expiry, and who waits for news
    received.py    one request that came in; pure
    signatures.py  signatures of requests; pure
    api.py         the JSON API for tests
    showing/       pages for people, and what is new as it comes
    state.py       what every handler shares
"""
