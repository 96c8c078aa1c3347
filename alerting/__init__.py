"""Alerts: messages to operators about what needs attention. The process `nrc alerts`.

What needs attention is found by operating/status; here it is decided what is said of it, when, and to whom.
It declares nothing in RabbitMQ, and changes nothing but its own tables.

rules.py         which rule of an operator a concern belongs to, and what it is about
judging.py       what is said now: began, again, over; limited by subject
notices.py       a message: what it says, as text and as a CloudEvent
channels/        a webhook, and mail
sending.py       sends what waits, with back-off, by each channel
certificates.py  looks at the certificates of callbacks, once a day
lease.py         which of several processes sends
loop.py          look after look, by that process
changing.py      what operators change of it, and the test of a destination
parts.py         the parts of the process, for observers
service.py       the process from start to stop
"""
