"""`nrc callback-auth`: what a callback asks for beyond the Authorization header of its abonnement.

commands.py  the commands
"""
