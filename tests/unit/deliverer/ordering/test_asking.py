"""Questions to the ledger whose turn it is: each is answered, whatever the ledger does."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import pytest

from deliverer.ordering.asking import Asking
from deliverer.ordering.lanes import LaneKey
from ledger.ids import new_id
from ledger.tables.turns import Asked, Turn
from ledger.values import Key
from schemas.errors import LedgerError


@pytest.mark.parametrize(
    ("raised", "told"),
    [(LedgerError("away"), LedgerError), (TimeoutError(), LedgerError), (KeyError("x"), KeyError)],
)
async def test_what_the_ledger_raises_is_what_each_question_gets(
    raised: Exception, told: type[Exception]
) -> None:
    """Also what nothing foresaw: else each message would wait for it, and in the end be asked again."""

    async def turns(asked: Sequence[Asked]) -> Sequence[Turn]:
        raise raised

    asking, abonnement = Asking(turns), uuid4()
    for _ in range(2):
        with pytest.raises(told):
            await asking.turn(LaneKey(abonnement, 0, "1"), Key(new_id(), abonnement))
