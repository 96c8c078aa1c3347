"""Kanalen: what is published on each, by whom, who subscribes, and what was for nobody.

listing.py  all of them
one.py      one of them
"""
