"""What the deliverer and the keeper write of failures, in Dutch; what is not ours is quoted."""

from __future__ import annotations

import pytest

from deliverer.attempting.decide import classify
from deliverer.http.client import FailureClass, Response
from deliverer.http.guard import Refusal, Rule
from ledger.explaining.dutch import failure, particulars
from ledger.values import WhyEnded


@pytest.mark.parametrize(
    ("detail", "told"),
    [
        ("no status within 10 s", "binnen 10 s kwam er geen status"),
        ("closed before a status", "de callback verbrak de verbinding zonder te antwoorden"),
        ("the answer is not HTTP: Bad status line", "het antwoord is geen HTTP: 'Bad status line'"),
        ("zac.nl:443: Network is unreachable", "'zac.nl:443: Network is unreachable'"),
        (str(Refusal(Rule.LOOPBACK, "127.0.0.1")), "de regel loopback staat 127.0.0.1 niet toe"),
        ("", ""),
    ],
)
def test_the_words_of_a_failure(detail: str, told: str) -> None:
    assert particulars("connection_error", detail) == told


@pytest.mark.parametrize("answer", [Response(302), Response(500), Response(508, loop=True)])
def test_a_status_is_told_by_its_class(answer: Response) -> None:
    found = classify(answer)
    assert found is not None
    assert particulars(found.kind, found.detail) == ""
    assert failure(found.kind, found.detail, found.status).startswith(f"status {answer.status}")


@pytest.mark.parametrize("kind", [each for each in FailureClass if each is not FailureClass.HTTP_STATUS])
def test_each_class_has_words_of_its_own(kind: FailureClass) -> None:
    assert "literal words" not in failure(kind, "literal words", None)


@pytest.mark.parametrize("why", WhyEnded)
def test_each_reason_to_end_has_words_of_its_own(why: WhyEnded) -> None:
    assert "literal words" not in particulars(why, "literal words")


def test_an_unknown_class_is_quoted() -> None:
    assert failure("another", "literal words", None) == "'literal words'"
