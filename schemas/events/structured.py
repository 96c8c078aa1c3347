"""Reads events in JSON: one (structured), or a list of them (batch), each with its own bytes. Pure."""

from __future__ import annotations

import json
from typing import Any

from schemas.errors import InvalidParam, ParseError
from schemas.events.event import DATA, Event, check_event
from schemas.jsontext import read_json

MOST_IN_BATCH = 100
"""Events of one batch; the size of its body is limited too."""

_SCANNER = json.JSONDecoder(parse_int=str, parse_float=str)  # Python makes no integer of 4,300 digits
_SPACE = " \t\n\r"


def read_structured(body: bytes) -> tuple[Event | None, list[InvalidParam]]:
    """(the event, []) or (None, every fault). Raises ParseError."""
    return check_event(body, read_json(body))


def read_batch(body: bytes) -> tuple[list[Event], list[InvalidParam]]:
    """(its events in order, []) or ([], every fault, under the number of its event). Raises ParseError."""
    items = read_json(body)
    if not isinstance(items, list):
        return [], [InvalidParam("nonFieldErrors", "not_a_list", "Een batch is een lijst van events.")]
    if len(items) > MOST_IN_BATCH:
        reason = f"Een batch heeft ten hoogste {MOST_IN_BATCH} events; stuur ze in meer batches."
        return [], [InvalidParam("nonFieldErrors", "max_length", reason)]
    events: list[Event] = []
    faults: list[InvalidParam] = []
    for number, (item, text) in enumerate(zip(items, _texts_of_list(body), strict=True)):
        event, its_faults = check_event(text, item, under=f"{number}.")
        faults += its_faults
        if event is not None:
            events.append(event)
    return ([], faults) if faults else (events, [])


def _texts_of_list(body: bytes) -> list[bytes]:
    """The text of each item of a JSON list that was read before."""
    text = body.decode()
    at = _after_space(text, 0) + 1
    found: list[bytes] = []
    while text[at := _after_space(text, at)] != "]":
        end = _end_of_value(text, at)
        found.append(text[at:end].encode())
        at = _after_space(text, end)
        at += text[at] == ","
    return found


def text_of_data(body: bytes) -> bytes | None:
    """The text of `data` in an event that was accepted, digit for digit; None when it has none."""
    text = body.decode()
    at = _after_space(text, 0) + 1
    found: bytes | None = None
    while text[at := _after_space(text, at)] != "}":
        name, at = json.decoder.scanstring(text, at + 1)  # type: ignore[attr-defined]
        at = _after_space(text, _after_space(text, at) + 1)
        end = _end_of_value(text, at)
        if name == DATA:
            found = text[at:end].encode()
        at = _after_space(text, end)
        at += text[at] == ","
    return found


def _after_space(text: str, at: int) -> int:
    while text[at] in _SPACE:
        at += 1
    return at


def _end_of_value(text: str, at: int) -> int:
    try:
        value: tuple[Any, int] = _SCANNER.raw_decode(text, at)
    except RecursionError as error:
        raise ParseError("De JSON in de body is te diep genest.") from error
    return value[1]
