"""What every process stands on: settings, logging, the AMQP connection, tasks and signals, health.

Knows nothing of kanalen, abonnementen or notificaties.
"""
