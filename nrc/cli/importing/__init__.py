"""`nrc import`: the move from another NRC (nrc/importing).

commands.py  the commands
telling.py   what became of the deliveries that were still to be made there
"""
