"""Commands that show what became of notificaties, and whom one would reach. They change nothing.

match.py           `nrc match`: which abonnementen a notificatie would reach, before it is sent
trace.py           `nrc trace`: every notificatie of an object, and what became of it
explain.py         `nrc explain`: why one abonnement got it, gets it later, or does not get it
listing.py         `nrc notificaties list`: a search in what was accepted
tail.py            `nrc tail`: what comes and what becomes of it, as it happens
account.py         opens ledger and registry
search_options.py  the options of a search, and the search that they make
facts.py           the results as JSON
layout.py          the results for people
times.py           times as people type them
"""
