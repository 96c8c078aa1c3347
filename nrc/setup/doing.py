"""Carries out a plan, one step after the other. A step that fails is told, and the others go on.

Only a registry that is away ends it. Whatever was not done is found again when the file is applied again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from nrc.setup.kinds.step import Doing, Step
from nrc.setup.planning import Plan
from schemas.errors import Conflict, NrcError, QuotaReached, RegistryError, ValidationError


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a step. fault: why it failed, else ""."""

    step: Step
    fault: str = ""


async def carried_out(plan: Plan, doing: Doing) -> AsyncIterator[Done]:
    """Each step once it is done or has failed. Raises RegistryError when the registry is away."""
    for step in plan.to_do:
        if step.do is None:
            continue
        try:
            await step.do(doing)
        except (Conflict, QuotaReached) as error:
            yield Done(step, str(error))
        except RegistryError:
            raise
        except ValidationError as error:
            yield Done(step, "; ".join(f"{each.name}: {each.reason}" for each in error.invalid_params))
        except NrcError as error:
            yield Done(step, str(error))
        else:
            yield Done(step)
    await doing.ask(lambda router: router.announce())
