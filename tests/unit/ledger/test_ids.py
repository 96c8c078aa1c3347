"""The ids by which the ledger has notificaties, also those of messages that no gateway published."""

from __future__ import annotations

from uuid import NAMESPACE_OID, UUID, uuid5

from ledger.ids import id_of_message, new_id, received_of


def test_a_gateways_id_is_its_own() -> None:
    id_ = new_id(at=1_800_000_000.5)
    assert id_of_message(str(id_)) == id_
    assert received_of(id_) == 1_800_000_000_500


def test_any_other_text_always_gets_the_same_id() -> None:
    for text in ("", "put in by hand", "12345", "\x00é"):
        assert id_of_message(text) == id_of_message(text) == uuid5(NAMESPACE_OID, text)
    assert isinstance(id_of_message("x"), UUID)
    assert id_of_message("x") != id_of_message("y")
