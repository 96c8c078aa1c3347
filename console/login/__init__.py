"""Logging in and out.

sessions.py   sessions: their cookie, how long they last, and what is said on the next page
routes.py     the page on which one logs in, and logging out
way_back.py   the page to which a login leads
attempt.py    one attempt to log in: the password, and the lock-out after several that were wrong
oidc/         logging in by OpenID Connect
"""
