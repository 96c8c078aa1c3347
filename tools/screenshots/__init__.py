"""Makes docs/images/: pictures of the real product on made up data, the same each time but for moments.

`python -m tools.screenshots` (`make screenshots`) starts `nrc up` in a temporary folder, with a RabbitMQ of
its own.

filling.py    a municipality's last hour, written into registry and ledger before anything starts
product.py    `nrc up`, what comes in while it runs, and what is asked of its API
taking.py     the pages in Chromium, and the files
shrinking.py  a picture of at most 256 colours
__main__.py   the command
"""
