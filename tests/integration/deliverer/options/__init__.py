"""Delivery options, on a running system."""
