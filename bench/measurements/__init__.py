"""A module per question that a benchmark answers.

lag.py              how long a large request holds up a gateway for others
noisy_neighbour.py  whether a dead callback slows down another abonnement
memory.py           whether memory stays flat
bodies.py           the memory of bodies in a deliverer when no callback answers
refused_bodies.py   the memory of bodies that a gateway refuses
ledger.py           what the ledger costs, and how fast it is asked
matching.py         how long it takes to find the abonnementen that match
declaring.py        how long it takes until an abonnement works, and all of them after a restart
scale.py            what many abonnementen cost: making them, memory, publishing, restarts
watched.py          what it costs that the console is open and metrics are scraped
fan_out.py          how many deliveries a second where each notificatie is for several abonnementen
"""
