"""The loss certificate: the product as real processes, faults under load, and an account of every message.

    python -m tests.chaos                       # all of it, some 40 minutes
    python -m tests.chaos --short               # part of `make test`
    python -m tests.chaos --only "router"       # scenarios with that in their name; --keep leaves the logs

    system.py       RabbitMQ (broker.py) and all processes (process.py): starts and signals each
    clients/        the publisher that notes every answer, the consumer that notes every request, the load
    faults/         tools that make faults
    scenarios/      every scenario
    run.py          one scenario from the first abonnement to the account
    short.py        which scenarios the short form has, and which of them share a load
    account.py      decides what was lost
    certificate.py  writes it down
    power/          the same with cuts of the power, on a disk of its own: `python -m tests.chaos.power`

To add a scenario, in a module of `scenarios/`:

    async def gateway_cut(run: Run) -> None:
        async with run.fault():                      # from its end the time to recover counts
            await run.system.kill("gateway 1")       # what it had in flight is noted by itself
            await run.lasting(1)
        await run.system.start("gateway 1")
        await run.more(1000)                         # let the load go on until 1,000 more are accepted

    Scenario("gateway cut", "A gateway is killed.", gateway_cut)      # into the module's SCENARIOS

The load runs before, during and after. Each scenario has the abonnementen of `load.ABONNEMENTEN`, and more by
`run.subscribe`; `scenarios/states.py` brings about deliveries in every state. What may be missing as only a
ledger had it that was taken away goes to `run.excuse`, with the number that was counted; what may arrive
twice beyond what kills note, to `run.may_repeat`. A scenario that needs settings, a command in front of a
process, or a system in a state of its own says so in its Scenario. Another address of RabbitMQ for one
process: `run.system.processes[name].env["NRC_AMQP_URL"]`, before it is started.

Scenarios with the same `make`, another way to make a system (behind proxies: scenarios/rabbitmq/network.py;
on three nodes: scenarios/rabbitmq/nodes.py), share that system. `unfit` says why a scenario cannot run here;
it is then shown as not run. `parts` are abonnementen that get a row of their own.

To add a way in which a callback misbehaves: a function under `@behaviour` in `clients/behaviours.py`. A
scenario sets it with `await run.consumer.behave(run.path("everything"), "status", code=500)`, and back with
`behave(path, "status")`. A callback that can be down alone gets a port of its own: `await
run.consumer.open("other")`, `await run.subscribe("more", load.DOCUMENTS, port="other")`, `await
run.consumer.down("other")`.
"""
