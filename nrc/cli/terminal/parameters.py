"""Click types, which are functions: durations, scopes, names, addresses, secrets."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from operating.moments import read_duration, read_span
from schemas.application import MAX_CLIENT_ID, Scope, is_client_id, read_scope

if TYPE_CHECKING:
    from runtime.settings import Listen


def duration(text: str) -> int:
    """The seconds of `45s`, `30m`, `24h`, `7d`, or a sum such as `1h30m`."""
    try:
        return read_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def span(text: str) -> int:
    """The milliseconds of `200ms`, or of what `duration` takes."""
    try:
        return read_span(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def scope(text: str) -> Scope:
    """A scope, in any of its spellings."""
    found = read_scope(text) or read_scope(f"notificaties.{text}")
    if found is None:
        raise click.BadParameter(f"{text!r} is no scope; there are publiceren and consumeren.")
    return found


def complete_scope(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The scopes that begin with what was typed, in their short spelling."""
    short = [each.rpartition(".")[2] for each in Scope]
    return [CompletionItem(each) for each in short if each.startswith(incomplete)]


def client_id(text: str) -> str:
    """The client_id of an application."""
    if not is_client_id(text):
        raise click.BadParameter(f"a client_id is 1 to {MAX_CLIENT_ID} printable characters.")
    return text


def listen_address(text: str) -> Listen:
    """The host and port of `127.0.0.1:9000`."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise click.BadParameter(f"{text!r} is no host:port, e.g. 127.0.0.1:9000.")
    return host.strip("[]"), int(port)


def secret(text: str) -> str:
    """A shared secret; `-` reads it from standard input, since a list of processes shows arguments."""
    given = sys.stdin.readline().rstrip("\r\n") if text == "-" else text
    try:
        # Arguments that are not UTF-8 come in as lone surrogates.
        given.encode()
    except UnicodeEncodeError:
        raise click.BadParameter("a secret must be UTF-8 text.") from None
    if not given.strip():
        raise click.BadParameter("a secret must not be blank.")
    return given


SCOPE: dict[str, Any] = {"type": scope, "shell_complete": complete_scope}
"""The keyword arguments of an option or argument for scopes."""
