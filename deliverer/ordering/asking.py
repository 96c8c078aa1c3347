"""Asks the ledger whose turn it is: all questions that came up during one answer go into the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from uuid import UUID

from deliverer.ordering.lanes import LaneKey
from ledger.tables.turns import Asked, Turn
from ledger.values import Key
from runtime.memory.bounded import Bounded
from schemas.errors import LedgerError

MOST_AT_ONCE = 100
WITHIN = 2.0  # seconds for an answer
ENDED_FOR = 30.0
"""Seconds that the end of a lane's ended deliveries is remembered: an operator may send one of them again."""
MOST_LANES = 10_000

Turns = Callable[[Sequence[Asked]], Awaitable[Sequence[Turn]]]


class Asking:
    """Questions to the ledger, on their way. turns: `Ledger.turns`; may raise LedgerError."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._waiting: list[tuple[Asked, asyncio.Future[Turn]]] = []
        self._task: asyncio.Task[None] | None = None
        self._ended: Bounded[LaneKey, tuple[UUID, float]] = Bounded(MOST_LANES)

    async def turn(self, lane: LaneKey, key: Key) -> Turn:
        """What the ledger knows of this delivery's turn. Raises LedgerError, after WITHIN seconds too."""
        ended, until = self._ended.get(lane, (None, 0.0))
        if ended is not None and (monotonic() > until or ended >= key.notificatie):
            ended = None
        answer: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        self._waiting.append((Asked(key, ended), answer))
        if self._task is None:
            self._task = asyncio.create_task(self._ask(), name="asking whose turn it is")
        try:
            async with asyncio.timeout(WITHIN):
                turn = await answer
        except TimeoutError:
            raise LedgerError(f"no answer from the ledger within {WITHIN:g} s") from None
        if turn.known:
            self._remember(lane, turn, key)
        return turn

    def _remember(self, lane: LaneKey, turn: Turn, key: Key) -> None:
        """Note up to where all of this lane have ended."""
        last = turn.ahead[0].delivery.key.notificatie if turn.ahead else key.notificatie
        self._ended[lane] = (UUID(int=last.int - 1), monotonic() + ENDED_FOR)

    async def _ask(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                try:
                    async with asyncio.timeout(WITHIN):
                        turns = await self._turns([asked for asked, _ in batch])
                except Exception as error:  # each that waits for it has it: none waits for nothing
                    late = isinstance(error, TimeoutError)
                    for _, answer in batch:
                        if not answer.done():
                            answer.set_exception(LedgerError("it does not answer") if late else error)
                    continue
                for (_, answer), turn in zip(batch, turns, strict=True):
                    if not answer.done():
                        answer.set_result(turn)
        finally:
            self._task = None
