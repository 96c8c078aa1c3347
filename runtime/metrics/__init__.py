"""Metrics for Prometheus: what is counted on a hot path, and the HTTP address on which it is read.

histogram.py  a histogram whose observation costs a fraction of a microsecond
serving.py    /metrics and /metrics/abonnementen of one process
"""
