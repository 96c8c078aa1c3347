"""What pages show of the system as a whole. Pure.

charts.py     counts per minute as charts, with the same as a table
attention.py  what needs attention, in Dutch sentences with the next step
"""
