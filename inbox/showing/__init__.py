"""What people see of inboxes: pages in Dutch, and what is new as it comes.

pages.py       the list of an inbox, one request, its settings (templates/, static/)
streaming.py   what is new, as server-sent events
pretty.py      a body as people read it, and a request as a curl command; pure
"""
