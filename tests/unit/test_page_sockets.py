"""Whether `nrc up` has an inbox and a console, and where: the default gives way, what was set does not."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from nrc.page_sockets import bind_console, bind_inbox
from runtime.settings import Settings
from schemas.errors import UsageError


def bound(what: str = "inbox", *, loopback: bool = True, **given: Any) -> tuple[Any, list[str]]:
    """(where it is, what was said)."""
    said: list[str] = []
    settings = Settings(_env_file=None, **given)
    if what == "inbox":
        sock = bind_inbox(settings, loopback=loopback, note=said.append)
    else:
        sock = bind_console(settings, note=said.append)
    if sock is None:
        return None, said
    with sock:
        return sock.getsockname(), said


BOTH = pytest.mark.parametrize("what", ["inbox", "console"])


@pytest.fixture
def taken() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@BOTH
def test_the_default_gives_way_to_another_port(
    what: str, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    field = Settings.model_fields[f"{what}_listen"]
    monkeypatch.setattr(field, "default", ("127.0.0.1", taken))
    Settings.model_rebuild(force=True)
    try:
        at, said = bound(what)
    finally:
        monkeypatch.undo()
        Settings.model_rebuild(force=True)
    assert at is not None
    assert at[0] == "127.0.0.1"
    assert at[1] != taken
    in_use = f"NRC_{what.upper()}_LISTEN: 127.0.0.1:{taken}: Address already in use"
    assert said == [f"{in_use}; the {what} takes another port"]


@BOTH
def test_what_was_set_does_not(what: str, taken: int) -> None:
    in_use = rf"NRC_{what.upper()}_LISTEN: 127.0.0.1:{taken}: Address already in use"
    with pytest.raises(UsageError, match=in_use):
        bound(what, **{f"{what}_listen": f"127.0.0.1:{taken}"})


@BOTH
def test_it_can_be_off(what: str) -> None:
    assert bound(what, **{f"{what}_listen": ""}) == (None, [])


def test_where_nothing_is_delivered_on_this_machine_it_is_off_unless_it_is_set() -> None:
    assert bound(loopback=False) == (None, [])
    at, _ = bound(loopback=False, inbox_listen="127.0.0.1:0")
    assert at is not None
