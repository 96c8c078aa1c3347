"""Commands that have deliveries made again, or not at all any more, by the rows of the ledger.

retry.py            `nrc retry`: what waits between two attempts, sent now or dropped
resend.py           `nrc resend`: one notificatie to one abonnement, once more
replay.py           `nrc replay`: what was sent in the past, to one abonnement, by the keeper
replay_progress.py  a bar that shows how far a replay is
choosing.py         which deliveries a command is about, by what is typed
opening.py          the ledger, and RabbitMQ to send with
taking_out.py       what is not to be delivered any more
results.py          what became of each, for people and scripts
"""
