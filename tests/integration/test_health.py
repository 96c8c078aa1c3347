"""The HTTP server of processes that have no other."""

from __future__ import annotations

import socket

import aiohttp

from runtime.health import serve_health


async def test_every_answer_carries_the_headers_of_all_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    lines: list[str] = []
    async with serve_health(("127.0.0.1", port), lambda: lines), aiohttp.ClientSession() as session:
        for path, line, status in (
            ("live", "", 200),
            ("ready", "", 200),
            ("ready", "no", 503),
            ("x", "", 404),
        ):
            lines[:] = [line] if line else []
            async with session.get(f"http://127.0.0.1:{port}/health/{path}") as answer:
                assert answer.status == status
                assert answer.headers["Server"] == "nrc"
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Cache-Control"] == "no-store"
