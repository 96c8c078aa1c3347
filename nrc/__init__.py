"""The command line `nrc`, and what starts and watches the processes.

__main__.py            `python -m nrc`
cli/                   every command
up.py                  `nrc up`: starts, watches and stops RabbitMQ and all processes
forking.py             forks the processes of `nrc up` from one in which their packages are loaded
supervised_process.py  one process that `nrc up` starts, and restarts when it dies
state_lock.py          allows one `nrc up` per state folder
processes.py           runs one process: logging, signals, exit code
rabbitmq/              the RabbitMQ that `nrc up` starts when NRC_AMQP_URL is not set
demo.py                the demo: kanaal, abonnement, notificatie, callback over HTTP
temporary_client.py    a client of the API for as long as a demo or a command runs
metrics_addresses.py   where each process of `nrc up` answers with its metrics
page_sockets.py        where inbox and console listen, and whether they are there
setup/                 the setup file: read, compared with the registry, carried out
importing/             the move from another NRC: what it has, and what it still has to deliver
exits.py               exit codes
"""
