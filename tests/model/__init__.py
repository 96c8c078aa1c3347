"""The ledger's specification as a program: every rule a switch, every promise an invariant.

    rules.py      the rules, one line each: read these first
    checks.py     what must hold
    system/       the parts of the system, in the order in which a notificatie meets them
    model.py      all steps that the system can take
    schedules.py  for each rule the shortest sequence of steps that needs it
    machine.py    hypothesis chooses the steps

Search for long: `python -m tests.model --examples 20000`, or `--without RULE` to see what the rule prevents.

Not in the model: pacing (200/s, 1,000 ready), alarms, the disk's budget, trimming a held queue, several
kanalen, clock skew. The clock only jumps, so the model says nothing about speed.
"""
