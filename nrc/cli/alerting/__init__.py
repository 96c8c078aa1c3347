"""`nrc alerts`: the process that sends alerts, what it is set to, and a test of it.

commands.py  the process, `list` and `test`
setting.py   `set`: rules, where messages go, and how often
"""
