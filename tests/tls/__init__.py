"""TLS for tests: certificates that are made anew, and a server that demands one of its clients.

certificates.py  an authority, and what it signs
server.py        the server
"""
