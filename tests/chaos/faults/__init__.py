"""Tools that make faults, with their tests.

proxy.py    cuts, refuses and stalls TCP connections
cluster.py  three RabbitMQ nodes
clock.py    a clock that jumps under a running process
files.py    files that are locked, do not grow or cannot be written; RabbitMQ's disk alarm
"""
