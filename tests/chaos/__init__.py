"""The loss certificate: the product as real processes, faults under load, and an account of every message.

    python -m tests.chaos                       # all of it, some 40 minutes
    python -m tests.chaos --short               # part of `make test`
    python -m tests.chaos --only "router"       # scenarios with that in their name; --keep leaves the logs

    system.py       RabbitMQ (broker.py) and all processes (process.py): starts and signals each
    clients/        the publisher that records every answer, the consumer that records every request, the load
    faults/         tools that make faults
    scenarios/      every scenario
    scenario.py     what a scenario is, and what came of it
    run.py          one scenario, from the first abonnement to the account
    short.py        the scenarios of the short form, and which of them share a load
    accounting/     decides what was lost, twice or out of order
    certificate.py  writes the certificate
    power/          the same with cuts of the power, on a disk of its own: `python -m tests.chaos.power`

To add a scenario, in a module of `scenarios/`:

    async def gateway_cut(run: Run) -> None:
        async with run.fault():                      # the time to recover counts from its end
            await run.system.kill("gateway 1")       # notes what it may have had in flight
            await run.lasting(1)
        await run.system.start("gateway 1")
        await run.more(1000)                         # let the load go on until 1,000 more are accepted

    Scenario("gateway cut", "A gateway is killed.", gateway_cut)      # into the module's SCENARIOS

The load runs before, during and after. Each scenario has the abonnementen of `load.ABONNEMENTEN`, and more by
`run.subscribe`; `scenarios/states.py` makes deliveries in every state. Deliveries that only a removed ledger
had may be missing: give their number to `run.excuse`. Deliveries that may arrive twice, besides those that
kills note: give their number to `run.may_repeat`. An abonnement with `pull` has no callback, but a consumer
that fetches; one with `amqp` has one that reads RabbitMQ (scenarios/rabbitmq/direct.py). Both are killed at
random all the while. A scenario that needs settings, a command in front of a
process, or a system of its own sets that in its Scenario. To give one process another address of RabbitMQ,
set `run.system.processes[name].env["NRC_AMQP_URL"]` before it is started.

Scenarios with the same `make`, another way to make a system (behind proxies: scenarios/rabbitmq/network.py;
on three nodes: scenarios/rabbitmq/nodes.py), share that system. `unfit` says why a scenario cannot run here;
it is then shown as not run. `parts` are abonnementen that get a row of their own.

An abonnement with `options` gets these delivery options; what `order` and `consolidate` promise is judged.
`traffic` of a Scenario is what is published: `load.USUAL`, or that of `clients/mixed.py`.

To add a way in which a callback misbehaves: a function under `@behaviour` in `clients/behaviours.py`. A
scenario sets it with `await run.consumer.behave(run.path("everything"), "status", code=500)`, and back with
`behave(path, "status")`. A callback that can be down alone gets a port of its own: `await
run.consumer.open("other")`, `await run.subscribe("more", load.DOCUMENTS, port="other")`, `await
run.consumer.down("other")`.
"""
