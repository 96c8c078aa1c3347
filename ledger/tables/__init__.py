"""What is alike in the tables of every store. Pure: no SQL.

rows.py     values as rows and back, and hashes of texts that are found by them
merging.py  what events make of the rows that are there, and what is counted for that
replays.py  a replay as a row and back
"""
