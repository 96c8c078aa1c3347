"""What pages show of the system as a whole. Pure.

charts.py  counts per minute as charts, with the same as a table
"""
