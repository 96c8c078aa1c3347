"""What goes where: what stands in RabbitMQ, who declares it, and how a message gets its way.

A message: `routing` makes its key and headers, `publishing` brings it to RabbitMQ with a confirm, `filters`
is the predicate that the bindings approximate and the deliverer applies, and `matching` an index by which a
gateway knows what matches.

What stands: `names` makes every name, `topology` says what must stand (values only), `declarer` declares and
removes it, `reconcile` compares registry and broker, `work` does what others ask through `requests`, and
`service` is the process around them. `readiness` is the marker that says that all of it stands.

What leaves a queue undelivered (`retention`, `strays`) the ledger hears of through `endings`.

What others keep: `catalogue` is a process's copy of the registry, `changes` the hint that it is old; `depth`
and `undeliverable` look into queues for operators.
"""
