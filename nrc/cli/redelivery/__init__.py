"""Commands that send deliveries again or remove them, by the rows of the ledger.

retry.py            `nrc retry`: sends now, or drops, what waits between two attempts
resend.py           `nrc resend`: sends one notificatie to one abonnement once more
replay.py           `nrc replay`: has the keeper send past notificaties to one abonnement again
replay_progress.py  the progress bar of a replay
choosing.py         finds the deliveries that the arguments of a command mean
opening.py          opens the ledger, and RabbitMQ to send with
taking_out.py       removes deliveries
results.py          the results of a command, for people, scripts and the audit trail
"""
