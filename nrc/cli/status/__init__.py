"""`nrc status`: one screen for whoever is woken at night.

command.py     the command, its exit code and its JSON
collecting.py  everything that is known now (operating/status), each part asked at once
attention.py   tells what needs attention, in sentences with the next command
screen.py      how it is laid out
"""
