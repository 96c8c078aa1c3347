"""`nrc listen`: an abonnement for as long as a command runs, and what arrives for it on the terminal.

listen.py    the command: takes the abonnement, and removes it at the end
receiver.py  the callback of it, which may send on what arrives
printing.py  what is printed of each
clients.py   the application of it, and those that a killed one left
"""
