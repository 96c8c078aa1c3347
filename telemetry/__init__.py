"""What processes tell of themselves to monitoring, beside their log. Loaded only where a setting asks for it.

observing.py  what a process opens around its work, so that it is observed
metrics/      what Prometheus reads
"""
