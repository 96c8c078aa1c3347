"""The RabbitMQ that `nrc up` starts when NRC_AMQP_URL is not set.

choice.py          chooses a private node, else a container
private_broker.py  starts, watches and stops a private node
private_node.py    the files and settings of that node: name, ports, password, configuration
container.py       the same through the docker command
readiness.py       whether it accepts connections yet
shield_policy.py   the policy that keeps other policies off our queues
"""
