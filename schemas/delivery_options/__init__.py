"""Delivery options: how an abonnement wants to be delivered to, beyond the standard.

part.py     what is kept with an abonnement beyond the standard, as JSON
numbers.py  rules of numbers, which come from JSON, from a command line or from a setup file
order.py    order per hoofdObject
options.py  the options of one abonnement, one field for each
"""

from schemas.delivery_options.options import DeliveryOptions, given_of

__all__ = ["DeliveryOptions", "given_of"]
