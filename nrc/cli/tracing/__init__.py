"""Commands that say what became of notificaties, and whom one would reach. They change nothing.

match.py           `nrc match`: whom a notificatie would reach, before it is sent
trace.py           `nrc trace`: every notificatie of an object, and what became of it
explain.py         `nrc explain`: why one abonnement got it, gets it later, or does not get it
listing.py         `nrc notificaties list`: what was accepted, by what is known of it
tail.py            `nrc tail`: what comes and what becomes of it, as it happens
following.py       what is new in the ledger since it was last asked
account.py         ledger and registry, and what both know of a delivery put together
search_options.py  the options by which notificaties are asked for
facts.py           the same as JSON
layout.py          the same for people
times.py           moments as people type them
"""
