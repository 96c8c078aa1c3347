"""What commands read: durations and files of notificaties; and how they print answers."""

from __future__ import annotations

import io
from pathlib import Path

import click
import pytest

from nrc.cli.publishing.notificatie_files import Item, Items, read_items
from nrc.cli.publishing.publish import address
from nrc.cli.publishing.sender import explain, retry_after
from nrc.cli.terminal.output import printable
from nrc.cli.terminal.parameters import duration
from runtime.settings import load_settings
from schemas.errors import UsageError


@pytest.mark.parametrize(
    "text, seconds", [("45s", 45), ("30m", 1800), ("24h", 86400), ("7d", 604800), ("1h30m", 5400)]
)
def test_durations(text: str, seconds: int) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "24", "h", "1w", "0s", "-1h", "1.5h", "1h ", "9" * 30 + "d", "99999d", "1 h"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(click.BadParameter, match="24h or 7d"):
        duration(text)


def read(text: bytes) -> Items:
    return read_items(io.BytesIO(text), name="FILE")


@pytest.mark.parametrize(
    "text, items",
    [
        (b"", []),
        (b"\n \n", []),
        (b'{"a":1}', [("line 1", b'{"a":1}')]),
        (b'\xef\xbb\xbf{"a":1}\n', [("line 1", b'{"a":1}')]),
        (b'{"a":1}\r\n\r\n {"a": 1.50} \n', [("line 1", b'{"a":1}'), ("line 3", b'{"a": 1.50}')]),
        (b'{\n "a": 1e400\n}\n', [("the notificatie", b'{\n "a": 1e400\n}\n')]),
        (b'[{"a": 1.50},\n 5]', [("item 1", b'{"a":1.50}'), ("item 2", b"5")]),
        (b"[]", []),
        (b'{"a":\n{"a":1}\n', [("line 1", b'{"a":'), ("line 2", b'{"a":1}')]),
        (b'{"a":1}\n[1]\nx\n', [("line 1", b'{"a":1}'), ("line 2", b"[1]"), ("line 3", b"x")]),
    ],
)
def test_the_forms_of_a_file(text: bytes, items: list[tuple[str, bytes]]) -> None:
    assert list(read(text).each) == [Item(where, body) for where, body in items]


@pytest.mark.parametrize("text", [b"hello\n", b"[1,", b"{\n", b"\xff\xfe{", b"[" * 100_000])
def test_what_is_no_file_of_notificaties(text: bytes) -> None:
    with pytest.raises(UsageError, match="FILE: not JSON"):
        read(text)


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_json_lines_in_a_file_are_counted_and_read_as_asked(tmp_path: Path, end: bytes) -> None:
    file = tmp_path / "many.jsonl"
    file.write_bytes(b"\n".join(b'{"n":%d}' % number for number in range(1000)) + end)
    with file.open("rb") as stream:
        items = read_items(stream, name="FILE")
        assert items.total == 1000
        assert next(items.each) == Item("line 1", b'{"n":0}')
        assert [item.where for item in items.each][-1] == "line 1000"


def test_a_pipe_is_not_counted() -> None:
    assert read(b'{"a":1}\n{"a":1}\n').total is None
    assert read(b"[1,2]").total == 2


@pytest.mark.parametrize(
    "header, seconds",
    [("2", 2.0), (None, 1.0), ("soon", 1.0), ("", 1.0), ("99999", 60.0), ("0", 0.0), ("-1", 1.0)],
)
def test_retry_after(header: str | None, seconds: float) -> None:
    assert retry_after(header) == seconds


@pytest.mark.parametrize(
    "body, told",
    [
        (b'{"code":"invalid","detail":"d","invalidParams":[{"name":"a","reason":"x"},{"name":"b","reason":"y"}]}',
         "400 invalid: a: x; b: y"),
        (b'{"code":"permission_denied","detail":"geen scope"}', "400 permission_denied: geen scope"),
        (b'{"invalidParams":null,"title":"t"}', "400 : t"),
        (b"<html>", "400"),
        (b"[1]", "400"),
    ],
)  # fmt: skip
def test_an_error_answer_in_a_line(body: bytes, told: str) -> None:
    assert explain(400, body) == told


@pytest.mark.parametrize(
    "settings, url, expected",
    [
        ({}, None, "http://127.0.0.1:8000"),
        ({"gateway_listen": "0.0.0.0:81"}, None, "http://127.0.0.1:81"),
        ({"gateway_listen": "[::]:81"}, None, "http://[::1]:81"),
        ({"public_url": "https://nrc.nl/x"}, None, "https://nrc.nl/x"),
        ({"public_url": "https://nrc.nl"}, "http://other:8/", "http://other:8"),
        ({}, "http://other/api/v1/", "http://other"),
    ],
)
def test_where_publish_posts_to(settings: dict[str, str], url: str | None, expected: str) -> None:
    assert address(load_settings(_env_file=None, **settings), url) == f"{expected}/api/v1/notificaties"


@pytest.mark.parametrize("url", ["other:8000", "ftp://other", "http://", "/x"])
def test_where_publish_does_not_post_to(url: str) -> None:
    with pytest.raises(UsageError, match="--url"):
        address(load_settings(_env_file=None), url)


def test_what_steers_a_terminal_is_not_printed() -> None:
    assert printable("é🦉 \x1b[31mred\r\n\x9b") == "é🦉 �[31mred���"
