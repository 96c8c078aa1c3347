"""Which connection is closed when there are too many."""

from __future__ import annotations

import resource

import pytest

from gateway.http.connections import KEPT_FREE, Connections, most_connections


class Line:
    def __init__(self, *, is_idle: bool = True) -> None:
        self.is_idle = is_idle
        self.was_cut = False

    def force_close(self) -> None:
        self.was_cut = True


def cut(lines: list[Line]) -> list[int]:
    return [number for number, line in enumerate(lines) if line.was_cut]


def test_the_one_that_was_heard_of_longest_ago_makes_room() -> None:
    lines = [Line() for _ in range(5)]
    connections = Connections(3)
    for line in lines[:3]:
        connections.add(line)
    connections.heard(lines[0])
    connections.add(lines[3])
    assert cut(lines) == [1]
    connections.remove(lines[1])
    connections.add(lines[4])
    assert cut(lines) == [1, 2]


def test_one_whose_request_is_answered_stays() -> None:
    lines = [Line(is_idle=False), Line(is_idle=False), Line(), Line(is_idle=False)]
    connections = Connections(2)
    for line in lines[:2]:
        connections.add(line)
    connections.add(lines[2])
    assert cut(lines) == [2], "all others work: the new one goes"
    connections.add(lines[3])
    assert cut(lines) == [2, 3]
    connections.remove(lines[0])
    connections.add(Line())
    assert cut(lines) == [2, 3]


def test_what_was_cut_and_is_heard_of_once_more_does_not_come_back() -> None:
    lines = [Line(), Line(), Line()]
    connections = Connections(1)
    for line in lines[:2]:
        connections.add(line)
    connections.heard(lines[0])
    connections.add(lines[2])
    assert cut(lines) == [0, 1]


@pytest.mark.parametrize(
    ("limits", "wanted", "most", "soft"),
    [
        ((1024, 1024), 4000, 1024 - KEPT_FREE, 1024),
        ((1024, 1024), 100, 100, 1024),
        ((1024, 65536), 100_000, 65536 - KEPT_FREE, 65536),
        ((1024, 65536), 4000, 4000, 65536),
        ((1024, resource.RLIM_INFINITY), 100_000, 100_000, 100_000 + KEPT_FREE),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 4000, 4000, resource.RLIM_INFINITY),
        ((64, 64), 4000, 10, 64),
    ],
)
def test_no_more_than_there_are_files_for(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], wanted: int, most: int, soft: int
) -> None:
    now = [limits]
    monkeypatch.setattr(resource, "getrlimit", lambda _: now[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, to: now.append(to))
    assert most_connections(wanted) == most
    assert now[-1][0] == soft
