"""`nrc publish`: notificaties of a file through the gateway, as any publisher would.

publish.py            the command
notificatie_files.py  reading the file
sender.py             posting many at once, and trying again when the gateway asks for that
"""
