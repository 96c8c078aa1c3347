"""`nrc mapping`: which CloudEvents notificaties become (docs/cloudevents.md).

commands.py  `nrc mapping list` and `show`; a setup file makes and changes own ones
"""
