"""Abonnementen: which need attention, one of them, and what is done with it.

health.py    how one is doing, in words and as a rank
listing.py   all of them, those that need attention first
one.py       one: state, filters, what waits, what can be done
acting.py    a page that asks before each act: suspend, resume, probe, test message, another owner
amqp.py      the queue that its consumer reads in RabbitMQ, and another password for it
options.py   how it wants to be delivered to: told and set
cloudevents.py  whether it gets CloudEvents, and in which form: told and set
callback_auth.py  what its callback asks for beyond `auth`: told, tried and set
"""
