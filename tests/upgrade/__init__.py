"""Upgrades and roll backs: the processes of an earlier commit beside those of this one, under load.

    python -m tests.upgrade                        # from the last release, or else the parent of this commit
    python -m tests.upgrade --from 2f4dc74         # from that commit
    python -m tests.upgrade --store sqlite         # on one store; --keep leaves the logs

Not part of `make test`: a clone may lack the commit, and an old one may need other packages than are here.
Publisher, consumer and account are those of tests/chaos: publishers must see no error at all, nothing may be
lost, and nothing sent twice.

    earlier.py      the code of an earlier commit, in a folder
    steps.py        what is done: tables first, then kind by kind, and all of it back
"""
