"""How the system is doing, and what needs attention: for `nrc status`, `nrc health`, the console and alerts.

health.py        whether gateway, RabbitMQ, router and registry can do their work
collecting.py    everything that is known at a moment
lane.py          what waits in the lane for bulk, in short
asking.py        the same, asked by a process that has registry, ledger and RabbitMQ open
certificates.py  which certificates are watched: those of callbacks' servers, and client certificates
attention.py     what needs attention: which concerns there are; how they are told is the caller's
faults.py        what could not be read or asked, in Dutch with the next step
dutch.py         tells them in Dutch
next_command.py  the command that comes next
"""
