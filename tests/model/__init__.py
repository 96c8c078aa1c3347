"""The ledger's specification as a program: every rule a switch, every promise an invariant.

Read `rules.py` (the rules, one line each), then `checks.py` (what must hold), then the parts in the order in
which a notificatie meets them:

    world       the clock, the registry, and the truth that only checks read
    gateway     POST, publish, commit, 201
    broker      RabbitMQ and what goes wrong with it
    deliverer   take, attempt, settle, outcomes in memory
    merge       which of two writes of a row stands
    ledger      tables; every method one transaction
    repair      the router: gap first, then declare
    judge       E1 and E2: is it lost?
    keeper      what is given back, and how

`model.py` has all steps in one place; `schedules.py` has for each rule the shortest sequence that needs it.
`machine.py` lets hypothesis choose the steps. Search for long: `python -m tests.model --examples 20000`, or
`--without RULE` to see what the rule prevents.

Not in the model: pacing (200/s, 1,000 ready), alarms, the disk's budget, trimming a held queue, several
kanalen, clock skew. The clock only jumps, so the model says nothing about speed.
"""
