"""Scopes from the Autorisaties API, over HTTP."""
