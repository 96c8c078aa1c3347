"""Abonnementen: which need attention, one of them, and what is done with it.

health.py    how one is doing, in words and as a rank
listing.py   all of them, those that need attention first
one.py       one: state, filters, what waits, what can be done
acting.py    a page that asks before each act: suspend, resume, probe, test message, another owner
callback_auth.py  what its callback asks for beyond `auth`: told, tried and set
"""
