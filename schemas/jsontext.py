"""Reads and writes JSON without changing a digit of a number.

A notificatie is routed unchanged, and a number where the standard requires a string becomes that string
digit for digit. So numbers are read as `Number`, their own text, and written back as that text. That takes a
second for a megabyte of numbers: `read_rounded` is for large texts whose numbers need not be exact.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson

from schemas.errors import ParseError

LARGE = 32 * 1024
"""Bytes of a JSON text above which reading and checking it may take more than some milliseconds."""
_MOST_SEARCHED = 64 * 2**20  # bytes searched, in all, for duplicate names; some 50 ms


class Number(str):
    """The text of a JSON number, exactly as it was sent."""

    __slots__ = ()


class Repeated(dict[str, Any]):
    """A JSON object with duplicate names; the last value of each counts. `again`: those names."""

    __slots__ = ("again",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counts = Counter(name for name, _ in pairs)
        self.again = tuple(name for name, count in counts.items() if count > 1)


def _number(text: str) -> Number:
    # Not the class itself: between calls of a Python function other threads can run.
    return Number(text)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is geen geldige JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    return content if len(content) == len(pairs) else Repeated(pairs)


_DECODER = json.JSONDecoder(
    parse_int=_number, parse_float=_number, parse_constant=_no_constant, object_pairs_hook=_object
)


def read_json(body: bytes) -> Any:
    """The value of a JSON text in UTF-8, numbers as `Number`. Raises ParseError, whatever the bytes are."""
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ParseError(f"De body is geen geldige UTF-8 (byte {error.start}).") from error
    except json.JSONDecodeError as error:
        raise ParseError(
            f"De body is geen geldige JSON: regel {error.lineno}, kolom {error.colno}."
        ) from error
    except ValueError as error:
        raise ParseError(f"De body is geen geldige JSON: {error}.") from error
    except RecursionError as error:
        raise ParseError("De JSON in de body is te diep genest.") from error


def read_rounded(body: bytes, *, within: str) -> Any:
    """As `read_json`, many times as fast and with numbers as Python's. None where the two may differ.

    That is where orjson accepts less than `read_json`, and where the object, or the object that it has under
    `within`, may have duplicate names.
    """
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(data, dict) or b"\\" in body:  # an escape can spell a name in another way
        return None
    inner = data.get(within)
    names = [*data, *(inner if isinstance(inner, dict) else ())]
    if len(names) * len(body) > _MOST_SEARCHED:
        return None
    once = all(body.count(b'"' + name.encode() + b'"') == 1 for name in names)
    return data if once else None


def write_json(value: Any) -> bytes:
    """The JSON text of what `read_json` gave, digit for digit, whatever it was."""
    try:
        return orjson.dumps(value, default=_as_sent, option=orjson.OPT_PASSTHROUGH_SUBCLASS)
    except orjson.JSONEncodeError:
        return _write_any(value)  # slower, and accepts lone surrogates and deeper nesting


class _Text(str):
    """A piece of finished JSON text."""

    __slots__ = ()


_OPEN, _CLOSE, _NEXT, _COLON = _Text("{"), _Text("}"), _Text(","), _Text(":")
_OPEN_LIST, _CLOSE_LIST = _Text("["), _Text("]")


def _write_any(value: Any) -> bytes:
    """As `write_json`, without recursion (which has a limit), and in ASCII (for lone surrogates)."""
    out: list[str] = []
    left = [value]
    while left:
        match left.pop():
            case _Text() | Number() as text:
                out.append(text)
            case dict() as pairs:
                parts = [part for key, item in pairs.items() for part in (_NEXT, key, _COLON, item)]
                left += [_CLOSE, *reversed(parts[1:]), _OPEN]
            case list() as items:
                parts = [part for item in items for part in (_NEXT, item)]
                left += [_CLOSE_LIST, *reversed(parts[1:]), _OPEN_LIST]
            case plain:
                out.append(json.dumps(plain))
    return "".join(out).encode()


def _as_sent(value: Any) -> orjson.Fragment | dict[str, Any]:
    if isinstance(value, Number):
        return orjson.Fragment(value.encode())
    if isinstance(value, Repeated):
        return dict(value)
    raise TypeError(f"no JSON form for {type(value).__name__}")


def indented_json(body: bytes) -> str:
    """A JSON text for people: indented, each number as it stands. Raises ParseError and RecursionError."""
    return "".join(_parts(read_json(body), "\n"))


def _parts(value: Any, line: str) -> Iterator[str]:
    deeper = line + "  "
    match value:
        case Number():
            yield value
        case dict() if value:
            for number, (name, each) in enumerate(value.items()):
                yield f"{',' if number else '{'}{deeper}{json.dumps(name, ensure_ascii=False)}: "
                yield from _parts(each, deeper)
            yield f"{line}}}"
        case list() if value:
            for number, each in enumerate(value):
                yield f"{',' if number else '['}{deeper}"
                yield from _parts(each, deeper)
            yield f"{line}]"
        case _:
            yield json.dumps(value, ensure_ascii=False)
