"""Power cuts: the product on a disk that forgets what was not synced.

    python -m tests.chaos.power --cuts 20           # some 20 minutes; needs root and /dev/fuse

`model` is the disk's state, in memory: what processes see, what is durable, and what a cut leaves; its
docstring says which disk is assumed. `wire` has the messages of the kernel's FUSE protocol, `serving`
answers them from the model in a process of its own, and `disk` is the other end of that process: mount,
freeze, cut, mount again. `up` is `nrc up` on such a disk, `machine` starts and kills it with all its
processes. `cuts` is the scenario: load, cuts, and the account. `report` writes it down.
"""
