"""The command line `nrc`, and what starts and watches the processes.

__main__.py            `python -m nrc`
cli/                   every command
up.py                  `nrc up`: RabbitMQ and all processes, started, watched and stopped as one
supervised_process.py  one process that `nrc up` starts, and starts again when it dies
state_lock.py          one `nrc up` per state folder
processes.py           one process of the product, from its first line to its exit code
rabbitmq/              the RabbitMQ that `nrc up` starts when it is given none
demo.py                the main job, shown
temporary_client.py    a client of the API for as long as a demo or a command runs
gateway_address.py     the address of a gateway on this machine
metrics_addresses.py   where each process of `nrc up` answers with its metrics
page_sockets.py        where inbox and console listen, and whether they are there
exits.py               exit codes
"""
