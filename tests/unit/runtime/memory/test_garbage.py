"""Collections are paused while any context is open, and go on afterwards."""

from __future__ import annotations

import gc

import pytest

from runtime.memory.garbage_collection import collections_paused


def test_they_go_on_when_the_last_pause_ends() -> None:
    first, second = collections_paused(), collections_paused()
    first.__enter__()
    second.__enter__()
    assert not gc.isenabled()
    first.__exit__(None, None, None)
    assert not gc.isenabled()
    second.__exit__(None, None, None)
    assert gc.isenabled()


def test_they_go_on_after_a_fault() -> None:
    with pytest.raises(ZeroDivisionError), collections_paused():
        raise ZeroDivisionError
    assert gc.isenabled()
