"""Each of our exceptions is told in Dutch, with the next step, and keeps its own text beside that."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from operating.status.faults import fault_of
from schemas import errors
from schemas.errors import (
    BrokerError,
    BrokerUnavailable,
    Conflict,
    LeaseLost,
    LedgerError,
    LedgerFull,
    NrcError,
    RegistryError,
)


def every(kind: type[NrcError]) -> Iterator[type[NrcError]]:
    """It, and all that extend it."""
    yield kind
    for each in kind.__subclasses__():
        yield from every(each)


@pytest.mark.parametrize("kind", [*every(RegistryError), *every(LedgerError), *every(BrokerError)])
def test_every_kind_is_a_sentence_and_a_next_step(kind: type[NrcError]) -> None:
    error = kind.__new__(kind, "unable to open database file")
    fault = fault_of(error)
    for text in (fault.text, fault.then):
        assert re.fullmatch(r"[A-Z].*\.", text), text
        assert "unable" not in text
    assert fault.technical == str(error)


def test_a_kind_is_told_as_the_closest_that_is_known() -> None:
    assert fault_of(LedgerFull("")).text == "Het grootboek is vol."
    assert fault_of(LeaseLost("")) == fault_of(LedgerError(""))
    assert fault_of(Conflict("")) == fault_of(RegistryError(""))
    assert fault_of(BrokerUnavailable("")).text.startswith("RabbitMQ is niet te bereiken")
    assert fault_of(errors.UsageError("")).text == "Dat is nu niet gelukt."
