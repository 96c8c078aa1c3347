"""What commands print, ask and read on a terminal.

output.py        tables for people, JSON for scripts, notes on standard error
confirmation.py  whether whoever typed a command is sure
progress_bar.py  how far a command is
parameters.py    click types: durations, scopes, names
ids.py           ids as tables show them and as people type them, in part
streams.py       standard streams that are closed or full
"""
