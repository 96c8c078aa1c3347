"""Commands for operation, and the audit trail of all commands.

upkeep.py       `nrc reconcile` and `nrc health`
parts_health.py  whether gateway, RabbitMQ, router and registry can do their work
queues.py       `nrc queues`
backup.py       `nrc backup` and `nrc restore`
settings.py     `nrc settings`
migrate.py      `nrc migrate`
audit_trail.py  `nrc audit-trail`
audit.py        records what an operator did, in the registry and in a file
"""
