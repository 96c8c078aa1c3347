"""Printing, asking and reading on a terminal.

output.py        tables for people, JSON for scripts, notes on standard error
confirmation.py  asks for a confirmation
progress_bar.py  the progress bar of a command
row_progress.py  how far a long copy of rows is: the bar, or a line now and then
parameters.py    click types: durations, scopes, names
ids.py           ids in short, as tables show them and as people type them
stopping.py      ends what runs until it is told to stop
streams.py       standard streams that are closed or full
"""
