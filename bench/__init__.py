"""Benchmarks of whole processes: `make bench`, or `python -m bench --help`. Never part of the tests.

system.py      the product as an operator runs it, for one benchmark
load/          publishers, consumers, and a gateway whose event loop is watched
capacity/      what a system needs, and what that is worked out from
measurements/  a module per question
bulk.py        whether bulk holds up the rest
plot.py        the plot of a memory run as SVG
"""
