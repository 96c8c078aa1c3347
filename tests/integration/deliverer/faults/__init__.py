"""Exceptions that nothing foresaw, on the path of a message."""
