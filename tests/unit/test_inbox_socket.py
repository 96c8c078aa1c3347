"""Whether `nrc up` has an inbox, and where: the default gives way, and what was set does not."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from nrc.inbox_socket import bind_inbox
from runtime.settings import Settings
from schemas.errors import UsageError


def bound(*, loopback: bool = True, **settings: Any) -> tuple[tuple[str, int] | None, list[str]]:
    """(where it is, what was said)."""
    said: list[str] = []
    sock = bind_inbox(Settings(_env_file=None, **settings), loopback=loopback, note=said.append)
    if sock is None:
        return None, said
    with sock:
        return sock.getsockname(), said


@pytest.fixture
def taken() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_the_default_gives_way_to_another_port(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    field = Settings.model_fields["inbox_listen"]
    monkeypatch.setattr(field, "default", ("127.0.0.1", taken))
    Settings.model_rebuild(force=True)
    try:
        at, said = bound()
    finally:
        monkeypatch.undo()
        Settings.model_rebuild(force=True)
    assert at is not None
    assert at[0] == "127.0.0.1"
    assert at[1] != taken
    in_use = f"NRC_INBOX_LISTEN: 127.0.0.1:{taken}: Address already in use"
    assert said == [f"{in_use}; the inbox takes another port"]


def test_what_was_set_does_not(taken: int) -> None:
    with pytest.raises(UsageError, match=rf"NRC_INBOX_LISTEN: 127.0.0.1:{taken}: Address already in use"):
        bound(inbox_listen=f"127.0.0.1:{taken}")


def test_it_can_be_off() -> None:
    assert bound(inbox_listen="") == (None, [])


def test_where_nothing_is_delivered_on_this_machine_it_is_off_unless_it_is_set() -> None:
    assert bound(loopback=False) == (None, [])
    at, _ = bound(loopback=False, inbox_listen="127.0.0.1:0")
    assert at is not None
