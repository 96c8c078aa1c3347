"""The parts of the modelled system, in the order in which a notificatie meets them.

world.py      the clock, the registry, and the truth that only checks read
gateway.py    POST, publish, commit, 201
broker.py     RabbitMQ and what goes wrong with it
deliverer.py  take, attempt, settle, outcomes in memory
merge.py      which of two writes of a row stands
ledger.py     tables; every method one transaction
consumer.py   fetch, acknowledge: where there is no queue
router.py     what is missing in RabbitMQ: gap first, then declare
judge.py      E1 and E2: is it lost?
keeper.py     what is given back, and how
"""
