"""OpenID providers to log in at.

provider.py     a real one as a process: Django OAuth Toolkit, which shares no code with the console's library
django_app.py   what that process serves
running.py      starts it, and registers a console with it
misbehaving.py  one that answers what a test wants
"""
