"""The binary form of an event in HTTP: its data is the body, its attributes are headers `ce-…`. Pure.

Headers are percent-encoded UTF-8 (CloudEvents, HTTP binding, 3.1.3.2).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import orjson

from schemas.errors import InvalidParam, ParseError
from schemas.events.event import DATA, DATA_BASE64, Event, check_event, is_json
from schemas.events.structured import text_of_data
from schemas.jsontext import read_json, write_json
from schemas.notificatie import read_accepted

PREFIX = "ce-"
CONTENT_TYPE = "datacontenttype"
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s\";]+)", re.IGNORECASE)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_AS_IT_IS = "".join(map(chr, range(0x21, 0x7F))).replace('"', "").replace("%", "")


def read_binary(
    headers: Iterable[tuple[str, str]], media_type: str, body: bytes
) -> tuple[Event | None, list[InvalidParam]]:
    """(the event, []) or (None, every fault). Raises ParseError when its data is not the JSON that it says.

    headers: of the request, names in any case. media_type: its Content-Type, or "".
    """
    attributes: dict[str, Any] = {}
    faults: list[InvalidParam] = []
    for header, value in headers:
        if not (name := header.lower()).startswith(PREFIX):
            continue
        name = name.removeprefix(PREFIX)
        if name in attributes:
            faults.append(InvalidParam(name, "invalid", f"De header {PREFIX}{name} staat er meer dan eens."))
        elif name in (CONTENT_TYPE, DATA, DATA_BASE64):
            where = "in de header Content-Type" if name == CONTENT_TYPE else "in de body"
            faults.append(InvalidParam(name, "invalid", f"In deze vorm staat dit {where}."))
        elif (text := _value_of(value)) is None:
            faults.append(InvalidParam(name, "invalid", "Dit is geen UTF-8 in procent-codering."))
        else:
            attributes[name] = text
    if media_type:
        attributes[CONTENT_TYPE] = media_type
    event, more = check_event(b"", attributes)
    if event is None or faults:
        return None, faults + more
    whole = _with_data(write_json(attributes), media_type, body)
    return check_event(whole, read_json(whole))


def _value_of(header: str) -> str | None:
    """The value of a header; None when it is not UTF-8."""
    text = header.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = _ESCAPED.sub(r"\1", text[1:-1])
    try:
        # The HTTP library gives what is not ASCII as UTF-8 with surrogates for other bytes.
        return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode()
    except UnicodeDecodeError:
        return None


def _with_data(attributes: bytes, media_type: str, body: bytes) -> bytes:
    """The event in JSON. attributes: JSON of an object that is not empty."""
    if not body:
        return attributes
    if is_json(media_type):
        try:
            read_json(body)
        except ParseError as error:
            raise ParseError(
                f"De data is geen geldige JSON, zoals Content-Type zegt. {error.detail}"
            ) from None
        name, value = DATA, body.strip(b" \t\r\n")
    elif (text := _as_text(media_type, body)) is not None:
        name, value = DATA, orjson.dumps(text)
    else:
        name, value = DATA_BASE64, orjson.dumps(base64.b64encode(body).decode())
    return b'%s,"%s":%s}' % (attributes[:-1], name.encode(), value)


def _as_text(media_type: str, body: bytes) -> str | None:
    """Text of which the same bytes can be made again, else None."""
    charset = _CHARSET.search(media_type)
    if not media_type.lower().startswith("text/") and not media_type.lower().partition(";")[0].endswith(
        "xml"
    ):
        return None
    if charset is not None and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def as_binary(event: bytes) -> tuple[dict[str, str], bytes]:
    """(headers with Content-Type, body) of an event in JSON that was accepted."""
    attributes: dict[str, Any] = read_accepted(event)
    media_type = attributes.get(CONTENT_TYPE)
    headers = {
        PREFIX + name: as_header(_text_of(value))
        for name, value in attributes.items()
        if value is not None and name not in (CONTENT_TYPE, DATA, DATA_BASE64)
    }
    if (encoded := attributes.get(DATA_BASE64)) is not None:
        body = base64.b64decode(encoded)
    elif (data := attributes.get(DATA)) is None:
        body = b""
    elif isinstance(data, str) and not is_json(media_type):
        body = data.encode()
    else:
        body = text_of_data(event) or b""
        media_type = media_type or "application/json"
    return {**headers, **({"Content-Type": str(media_type)} if media_type else {})}, body


def as_header(value: str) -> str:
    """The value of an attribute in a header: percent-encoded UTF-8, but for printable ASCII."""
    return quote(value, safe=_AS_IT_IS)


def _text_of(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
