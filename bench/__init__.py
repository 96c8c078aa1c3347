"""Benchmarks of whole processes: `make bench`, or `python -m bench --help`. Never part of the tests."""
