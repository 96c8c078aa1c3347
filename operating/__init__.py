"""What an operator does, whether with a command of `nrc` or in the console: the same functions for both.

Each does one act and notes who did it. They print nothing and ask nothing: that is nrc/cli and console.

acts.py          notes an act: in `operator.log`, and in the registry
abonnementen.py  what is done with an abonnement: make, change, remove, suspend, resume, probe, give, try its
                 callback
kanalen.py       kanalen: registered, changed, removed
conditions.py    how abonnementen are doing
applications.py  applications: registered, let do more or less, given another secret, removed
removal.py       what waits for abonnementen that are removed, and their queues
tokens.py        tokens of an application, to try something out
status/          how the system is doing, and what needs attention
users.py         users of the console: made, changed, locked out
passwords.py     hashes of passwords, made and compared by a bounded number of threads
notificaties/    which are meant, what comes, having them delivered again
moments.py       times and durations as people type them
plain_text.py    moments, and text from elsewhere, as they are printed
"""
