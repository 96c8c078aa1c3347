"""`nrc apply`: has the registry be as a setup file says (nrc/setup).

apply.py    the command
showing.py  a plan and what became of it, for people and for scripts
"""
