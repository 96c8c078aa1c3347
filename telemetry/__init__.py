"""What processes tell of themselves to monitoring, beside their log. Loaded only where a setting asks for it.

observing.py  how a process is observed: what its `serve` takes for that
metrics/      what Prometheus reads
traces/       what OpenTelemetry gets
"""
