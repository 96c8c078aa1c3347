"""What the product is loaded with; each a process of its own.

publisher.py        as fast as it can with so many requests at once, or at a steady rate
consumer.py         a callback
flood.py            publisher and consumer that cost next to nothing themselves
watcher.py          somebody who has the console open, and a Prometheus
watched_gateway.py  a gateway whose event loop is watched
"""
