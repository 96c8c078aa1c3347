"""`nrc health --url` against servers that answer in different ways."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.callback_server import CallbackServer, Script, hang, raw, reset, status
from tests.command import Ran, nrc_process

NOT_READY = b'{"notReady": ["broker: away", "registry: locked"]}'


async def asked(folder: Path, url: str) -> tuple[Ran, str]:
    ran = await nrc_process(folder, "health", "--json", "--url", url)
    assert "Traceback" not in ran.err
    return ran, ran.json()["process"]["detail"]


@pytest.mark.parametrize(
    "answer, code, detail",
    [
        (status(200, body=b'{"status":"ready"}'), 0, "http://127.0.0.1"),
        (status(503, body=NOT_READY), 1, "broker: away; registry: locked"),
        (status(503, body=b"[]"), 1, "answered 503"),
        (status(404, body=b"<html>"), 1, "answered 404"),
        (raw(b"HTTP/1.0 200 OK\r\n\r\n"), 0, "http://127.0.0.1"),
        (raw(b"SSH-2.0-OpenSSH_9.2\r\n"), 3, "SSH-2.0-OpenSSH_9.2"),
        (raw(b""), 3, "without response"),
        (reset(), 3, "reset by peer"),
        (hang(), 3, "no answer within"),
    ],
)
async def test_what_a_process_answers(tmp_path: Path, answer: Script, code: int, detail: str) -> None:
    async with CallbackServer() as server:
        server.script("/health/ready", answer)
        ran, said = await asked(tmp_path, server.url("/"))
        assert (ran.code, detail in said) == (code, True), said
        (request,) = server.at("/health/ready")
        assert (request.method, request.header("Host")) == ("GET", f"127.0.0.1:{server.port}")


async def test_the_path_of_the_root_is_kept(tmp_path: Path) -> None:
    async with CallbackServer() as server:
        server.script("/nrc/health/ready", status(200))
        ran, _ = await asked(tmp_path, server.url("/nrc/"))
        assert ran.code == 0


@pytest.mark.parametrize(
    "url", ["localhost", "ftp://127.0.0.1/", "http://", "http://127.0.0.1:port", "http://[::"]
)
async def test_what_is_no_url(tmp_path: Path, url: str) -> None:
    ran, said = await asked(tmp_path, url)
    assert (ran.code, bool(said)) == (3, True)
