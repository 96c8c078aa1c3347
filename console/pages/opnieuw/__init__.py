"""Opnieuw: past notificaties to one abonnement again, as a job of the keeper (a replay).

telling.py  a replay in words, for its page and for the list
listing.py  all replays, the newest first
new.py      a new one: what, to whom, how many, and then why and how fast
waiting.py  what waits between two attempts: all of an abonnement now, or dropped
one.py      how far one is; pause, resume, stop
"""
