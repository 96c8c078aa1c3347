"""Traces by OpenTelemetry: from a publisher's `traceparent` through RabbitMQ to the callback. An extra.

providing.py  what makes the spans of one process and sends them on
context.py    the headers by which a trace goes on, and whether a delivery still belongs to it
gateway.py    the span of a request, and that of its message on its way into RabbitMQ
deliverer.py  the spans of an attempt: of the message, and of the request to the callback
"""
