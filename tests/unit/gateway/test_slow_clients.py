"""The bytes buffered for slow clients: one limit for all, and the slowest is cut off."""

from __future__ import annotations

from gateway.http.slow_clients import SMALL, SlowClients

MOST = 10 * SMALL


class Client:
    """A connection for which so many bytes are held."""

    def __init__(self, bytes_: int) -> None:
        self.bytes = bytes_
        self.is_cut = False

    def held(self) -> int:
        return self.bytes

    def who(self) -> dict[str, str]:
        return {"remote": "192.0.2.1"}

    def cut_off(self) -> None:
        self.is_cut = True


def test_a_little_is_not_counted() -> None:
    held = SlowClients(MOST)
    clients = [Client(SMALL) for _ in range(100)]
    for client in clients:
        held.moved(client)
    assert held.size == 0
    assert not any(client.is_cut for client in clients)


def test_the_one_that_moved_nothing_for_longest_makes_room() -> None:
    held = SlowClients(MOST)
    clients = [Client(4 * SMALL) for _ in range(3)]
    held.moved(clients[0])
    held.moved(clients[1])
    held.moved(clients[0])
    held.moved(clients[2])
    assert [client.is_cut for client in clients] == [False, True, False]
    assert held.size == 8 * SMALL


def test_who_has_read_meanwhile_is_not_cut() -> None:
    held = SlowClients(MOST)
    clients = [Client(4 * SMALL) for _ in range(3)]
    held.moved(clients[0])
    held.moved(clients[1])
    clients[0].bytes = 0
    held.moved(clients[2])
    assert not any(client.is_cut for client in clients)
    assert held.size == 8 * SMALL


def test_one_alone_is_never_cut() -> None:
    held, client = SlowClients(MOST), Client(20 * SMALL)
    held.moved(client)
    assert not client.is_cut
    held.forget(client)
    assert held.size == 0
