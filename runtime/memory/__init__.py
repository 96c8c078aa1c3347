"""Memory of a process: what it keeps of the past, and when Python frees what nothing uses.

bounded.py             a dict of at most so many pairs, which forgets what was set longest ago
garbage_collection.py  Python's garbage collector: when it runs
"""
