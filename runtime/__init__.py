"""What every process uses: settings, logs, AMQP, tasks. Knows nothing of kanalen, abonnementen, notificaties.

settings.py            every setting: default, unit, help, validation
log.py                 structured logs
amqp/                  the connection to RabbitMQ, and publishing with confirms
lifecycle.py           background tasks that are watched
joining.py             one run of a piece of work for several concurrent callers
deadlines.py           time-outs for many waits, with one timer
metrics/               what is counted for Prometheus, and the address on which it is read
health.py              a small HTTP server, and /health/live and /health/ready on it
listening.py           sockets to listen on
response_headers.py    headers of every HTTP answer
trust.py               TLS: the certificate authorities that are trusted, client certificates
memory/                what a process remembers, and Python's garbage collector
open_files.py          how many files and sockets a process may open
"""
