"""`nrc publish`: POSTs the notificaties of a file to the gateway, as any source does.

publish.py            the command
notificatie_files.py  reading the file
sender.py             posts many at once, and retries when the gateway asks for that
"""
