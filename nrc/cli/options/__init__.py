"""`nrc abonnement options`: how an abonnement wants to be delivered to.

commands.py  the command
"""
