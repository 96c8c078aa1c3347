"""The publisher, the consumers, and what is published.

mixed.py             what is published for delivery options: few objects, bulk, CloudEvents
load.py              kanalen, abonnementen, and a notificatie for every number
publisher.py         posts at a rate and records every answer
consumer.py          callbacks in a process of its own, which records every request
consumer_process.py  starts and commands that process
behaviours.py        how a callback answers
fetcher.py           a consumer that fetches, in a process of its own, which tells what it got
fetcher_process.py   starts and kills that process, and reads what it told
reader.py            a consumer that reads its queue in RabbitMQ, in the same way
reader_process.py    starts and kills that process
"""
