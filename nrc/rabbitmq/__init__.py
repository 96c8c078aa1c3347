"""The RabbitMQ that `nrc up` starts when it is given none.

choice.py          a private node, else a container, else a line that says what to do
private_broker.py  starts, watches and stops a node of our own
private_node.py    what that node is given: name, ports, password, configuration
container.py       the same through the docker command
readiness.py       whether it takes connections yet
shield_policy.py   the policy that keeps others off our queues
"""
