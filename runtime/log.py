"""Structured logs on standard error, for people (`console`) or machines (`json`).

Values of keys that could hold a secret are never written, no value is longer than 2,000 characters and no
traceback than 20,000. A line that cannot be written is lost without an exception to the caller.
"""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import time
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, TextIO, cast

import orjson
import structlog

MAX_VALUE = 2000
MAX_TRACEBACK = 20_000
_COLLECTIONS = (list, tuple, dict, set, frozenset, bytes)
_SECRET_WORDS = ("auth", "secret", "token", "password")
_USERINFO = re.compile(r"//[^?#]*@")  # as far as the last @: a password may hold a / that was not escaped
_AFTER_PATH = re.compile(r"[?#].*", re.DOTALL)


def _guard(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if _is_secret(key):
            event[key] = "***"
        elif isinstance(value, str):
            if len(value) > MAX_VALUE:
                event[key] = _short(value)
        elif isinstance(value, _COLLECTIONS) and len(text := str(value)) > MAX_VALUE:
            event[key] = _short(text)
    return event


def _short(text: str) -> str:
    return text[:MAX_VALUE] + f"… ({len(text)} characters)"


def _bounded(traceback: str) -> str:
    """Its beginning and its end, which say most; in between an error may quote all of its input."""
    half = MAX_TRACEBACK // 2
    if len(traceback) <= MAX_TRACEBACK:
        return traceback
    return f"{traceback[:half]}… ({len(traceback)} characters) …{traceback[-half:]}"


def _format_exception(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event = structlog.processors.format_exc_info(_, __, event)
    if isinstance(event.get("exception"), str):
        event["exception"] = _bounded(event["exception"])
    return event


def _print_exception(out: TextIO, error: structlog.typing.ExcInfo) -> None:
    # Not the renderer's own tracebacks: they print local variables, secrets among them.
    text = io.StringIO()
    structlog.dev.plain_traceback(text, error)
    out.write(_bounded(text.getvalue()))


def _printable(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape control characters, so that what a client sent cannot control the terminal of a reader."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = "".join(
                one if one.isprintable() else one.encode("unicode_escape", "backslashreplace").decode()
                for one in value
            )
    return event


_NOT_PLAIN = frozenset({"exc_info", "exception", "stack", "logger", "logger_name"})
_QUOTED = re.compile("[ \t=\r\n\"']")


def _plain(render: Callable[[Any, str, MutableMapping[str, Any]], str]) -> Any:
    """Renders the same line as structlog's own renderer without colours, in a third of the time.

    There is a line for each notificatie, in the gateway and in the deliverer. render: for all other lines.
    """

    def line(logger: Any, name: str, event: MutableMapping[str, Any]) -> str:
        if not _NOT_PLAIN.isdisjoint(event):
            return render(logger, name, event)
        begin = f"{event.pop('timestamp')} [{event.pop('level'):9}] {event.pop('event')!s:30}"
        pairs = [
            f"{key}={value if type(value) is str and not _QUOTED.search(value) else repr(value)}"
            for key, value in sorted(event.items())
        ]
        return " ".join([begin, *pairs]).rstrip(" ")

    return line


@lru_cache(maxsize=1024)
def _is_secret(key: str) -> bool:
    return any(word in key.lower() for word in _SECRET_WORDS)


class _Unfailing:
    """A stream whose errors (its disk is full, its reader is gone) are not raised to its writers.

    A notificatie that RabbitMQ has confirmed must be answered with 201, and a delivered one acknowledged,
    whatever happens to the line about it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def configure_logging(*, form: str, level: str, process: str) -> None:
    """Send our own lines and those of libraries to standard error, in one form.

    Ours don't pass through the standard library's logging, which is too slow for a thousand a second.
    """
    stream = cast(TextIO, _Unfailing(sys.stderr))
    facts: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render: list[Any] = [_guard, structlog.processors.JSONRenderer(serializer=_json)]
    if form == "json":
        render.insert(1, _format_exception)
    else:
        colors = sys.stderr.isatty()
        console = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=_print_exception)
        render[1:] = [_printable, console if colors else _plain(console)]
    structlog.configure(
        processors=[*facts, *render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*facts, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # The client library logs every closed channel with a traceback; our own lines say what it means.
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)
    logging.getLogger("aio_pika").setLevel(logging.ERROR)
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    # It warns of each connection that it cannot make or lost.
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)


def _json(event: Any, **_: Any) -> str:
    try:
        return orjson.dumps(event, default=str).decode()
    except orjson.JSONEncodeError:  # a lone surrogate, which a client may have put in a name
        return json.dumps(event, default=str)


def without_secrets(url: str) -> str:
    """A URL for a log line: without user, password, query and fragment. Accepts any text."""
    return _USERINFO.sub("//***@", _AFTER_PATH.sub("?…", url))


class Occasional:
    """Limits the log lines about something that may happen a hundred times a second."""

    def __init__(self, *, every: float) -> None:
        self._every = every
        self._next = 0.0
        self._times = 0

    def due(self) -> int:
        """Count one more; returns how many since the last line when a line is due, else 0."""
        self._times += 1
        if time.monotonic() < self._next:
            return 0
        self._next = time.monotonic() + self._every
        times, self._times = self._times, 0
        return times


def process_name() -> str:
    """The name under which this process logs; "" before that was configured."""
    return str(structlog.contextvars.get_contextvars().get("process", ""))


def logger(name: str) -> Any:
    """A structured logger; call it with an event and key=value facts."""
    return structlog.get_logger(name)
