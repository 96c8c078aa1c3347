"""The loss certificate: the product as real processes, faults under load, and an account of every message.

    python -m tests.chaos                       # all of it, some 30 minutes
    python -m tests.chaos --short               # part of `make test`
    python -m tests.chaos --only "router"       # scenarios with that in their name; --keep leaves the logs

`system` starts RabbitMQ, router, gateways and deliverers and signals each; `publisher` posts and notes every
answer; `consumer` (a process, with `callbacks` as our end of it) notes every request; `run` is one scenario
from the first abonnement to the account; `account` decides what was lost; `certificate` writes it down.

To add a scenario, in a module of `scenarios/`:

    async def gateway_cut(run: Run) -> None:
        async with run.fault():                      # from its end the time to recover counts
            await run.system.kill("gateway 1")       # what it had in flight is noted by itself
            await run.lasting(1)
        await run.system.start("gateway 1")
        await run.more(1000)                         # let the load go on until 1,000 more are accepted

    Scenario("gateway cut", "A gateway is killed.", gateway_cut)      # into the module's SCENARIOS

The load runs before, during and after. Each scenario has the abonnementen of `load.ABONNEMENTEN`, and more by
`run.subscribe`. What may be missing because it was thrown away goes to `run.excuse`, with the number of
messages that were counted; what may arrive twice beyond what kills note, to `run.may_repeat`. A scenario that
needs settings, a command in front of a process, or a system in a state of its own says so in its Scenario.
Another address of RabbitMQ for one process: `run.system.processes[name].env["NRC_AMQP_URL"]`, before it is
started.

Scenarios with the same `make`, another way to make a system (behind proxies: scenarios/network.py; on three
nodes: scenarios/nodes.py), share that system. `unfit` says why a scenario cannot run here; it is then shown
as not run. `parts` are abonnementen that get a row of their own.

`power/` cuts the power of all of it, on a disk of its own: `python -m tests.chaos.power`.

Tools: `proxy` (cut, refuse, stall connections), `cluster` (three nodes), `clock` (jumps), `disk` (locks,
files that do not grow, modes, RabbitMQ's disk alarm).

To add a way in which a callback misbehaves: a function under `@behaviour` in `behaviours.py`. A scenario sets
it with `await run.consumer.behave(run.path("everything"), "status", code=500)`, and back with
`behave(path, "status")`. A callback that can be down alone gets a port of its own: `await
run.consumer.open("other")`, `await run.subscribe("more", load.DOCUMENTS, port="other")`, `await
run.consumer.down("other")`.
"""
