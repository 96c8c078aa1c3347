"""What `nrc listen` prints of each notificatie: some lines for people, or a line of JSON for scripts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click
import orjson

from ledger.explaining.dutch import Clock
from nrc.cli.listening.receiver import Arrival, Forwarded
from nrc.cli.terminal.output import printable

SHOWN = 2000  # characters of a value
_HEAD = ("kanaal", "resource", "actie")
_BELOW = ("hoofdObject", "resourceUrl")


def show_json(arrival: Arrival) -> None:
    """A line of JSON. `notificatie` is null and `body` the text where it is no JSON."""
    message = _message(arrival.body)
    told: dict[str, Any] = {
        "receivedAt": Clock.utc(int(arrival.at * 1000)),
        "webhookId": arrival.headers.get("webhook-id"),
        "attempt": _number(arrival.headers.get("nrc-attempt", "")),
        "headers": {
            str(name): _text(value) for name, value in arrival.headers.items() if not _is_secret(name)
        },
        "notificatie": message,
    }
    if message is None:
        told["body"] = arrival.body.decode(errors="replace")
    if arrival.forwarded is not None:
        sent = arrival.forwarded
        told["forwarded"] = {
            "status": sent.status,
            "reason": _text(sent.why),
            "seconds": round(sent.seconds, 3),
        }
    click.echo(orjson.dumps(told))


def show(arrival: Arrival) -> None:
    """Lines for people: what it is, its id, its kenmerken, and what was answered where it was sent on."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    clock = Clock(now=int(time.time() * 1000)).bare(int(arrival.at * 1000), "%H:%M:%S")
    message = _message(arrival.body) or {}
    what = " · ".join(_shown(message[name]) for name in _HEAD if name in message)
    attempt = arrival.headers.get("nrc-attempt", "1")
    head = Text(f"{clock}  ").append(what or f"{len(arrival.body)} bytes, no notificatie", style="bold")
    if attempt != "1":
        head.append(f"  attempt {_shown(attempt)}", style="yellow")
    lines = [head, Text(f"  webhook-id {_shown(arrival.headers.get('webhook-id', ''))}", style="dim")]
    lines += [Text(f"  {name} {_shown(message[name])}") for name in _BELOW if name in message]
    kenmerken = message.get("kenmerken")
    if isinstance(kenmerken, dict):
        lines += [Text(f"  {_shown(name)}={_shown(value)}") for name, value in kenmerken.items()]
    if arrival.forwarded is not None:
        lines.append(_forwarded(arrival.forwarded))
    for line in lines:
        console.print(line)


def _forwarded(sent: Forwarded) -> Any:
    from rich.text import Text

    took = f"in {sent.seconds * 1000:.0f} ms"
    if sent.status is None:
        return Text(f"  → no answer {took}: {_shown(sent.why)}; it is tried again", style="red")
    good = 200 <= sent.status < 300
    again = "" if good else "; it is tried again" if sent.status != 410 else "; the abonnement is suspended"
    return Text(f"  → {sent.status} {_shown(sent.why)} {took}{again}", style="green" if good else "red")


def _message(body: bytes) -> Mapping[str, Any] | None:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _shown(value: object) -> str:
    return printable(_text(str(value))[:SHOWN])


def _text(text: str) -> str:
    return text.encode(errors="replace").decode()


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _is_secret(name: str) -> bool:
    return name.lower() == "authorization"
