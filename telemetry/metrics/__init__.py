"""What Prometheus reads; docs/metrics.md has every name. Made at each request of what processes count.

of_processes.py  which process has which metrics, and their address
families.py      counters, gauges and histograms as the library has them
common.py        what every process has: whether it is ready, its connections, the ledger that it writes
router.py        whether it is ready
gateway.py       accepted, refused, confirms, under way
deliverer.py     delivered, failed by class, from accepted to delivered, under way
console.py       requests of pages, logins, sessions, what is followed live
inbox.py         addresses, and what came in
alerts.py        whether this process sends, and what arrived
keeper.py        the system as a whole, by registry and ledger: what waits, since when, what was given back
"""
