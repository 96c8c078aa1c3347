"""The shapes that every process shares: kanaal, abonnement, notificatie, application, and the faults.

Owns field rules and the exception tree. Does no I/O and knows neither HTTP nor AMQP.
"""
