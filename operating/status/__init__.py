"""How the system is doing, and what needs attention: for `nrc status`, `nrc health` and the console.

health.py      whether gateway, RabbitMQ, router and registry can do their work
collecting.py  everything that is known at a moment
attention.py   what needs attention: which concerns there are; how they are told is the caller's
"""
