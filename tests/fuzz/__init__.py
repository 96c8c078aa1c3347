"""Fuzzing of the running product: whatever is sent, no 5xx, the problem shape, and no fault in any log.

    python -m tests.fuzz --minutes 10        # other examples each time
    pytest tests/fuzz                        # few examples, the same each time

system.py starts real processes, shapes.py generates what is sent, properties.py has the properties of answers
and of what arrives, run.py checks them and reads every log afterwards. pages.py and test_pages.py do the same
for the pages and forms of console and inbox.
"""
