"""Logging in by OpenID Connect.

test_provider.py  at a real provider
test_browser.py   at a real provider, in a real browser
test_faults.py    at one that misbehaves: each fault is a page and a line in the log
"""
