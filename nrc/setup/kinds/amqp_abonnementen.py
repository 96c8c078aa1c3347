"""Abonnementen of type amqp in a setup file: what their consumers read, and the password of their users."""

from __future__ import annotations

from typing import Any

from nrc.setup.faults import Path
from nrc.setup.kinds.step import Difference, Doing, Making
from nrc.setup.model import AbonnementPart, Kind
from operating import abonnementen
from router.amqp_direct.connecting import amqp_abonnement
from router.amqp_direct.passwords import fits, new_password
from router.amqp_direct.queues import AmqpQueue, queue_of
from schemas.abonnement import Abonnement

MAKE_USER = "RabbitMQ does not have the user yet; run: nrc amqp definitions | rabbitmqctl import_definitions"


def check(making: Making, part: AbonnementPart, path: Path, known: Abonnement | None) -> None:
    """Note what is wrong with one, by what there is."""
    if not making.settings.amqp_direct:
        making.fault((*path, "type"), "NRC_AMQP_DIRECT is off: set it to true for every process, and here")
    if part.amqp is None or known is None or not known.is_amqp:
        return
    if _queue(part) != (now := queue_of(known.callback_url)):
        told = ", ".join(f"{name} {value}" for name, value in {"kind": now.kind, **now.limits}.items())
        reason = f"a queue in RabbitMQ never changes, and it has {told}: give it another name"
        making.fault((*path, "amqp"), reason)


def new_of(part: AbonnementPart) -> Abonnement:
    """The new abonnement. Without a password in the file it gets one that nobody knows."""
    password = (part.amqp.password if part.amqp else None) or new_password()
    return amqp_abonnement(
        part.key, of=_queue(part), kanalen=part.groups, client_id=part.client_id, password=password
    )


async def add(doing: Doing, part: AbonnementPart, new: Abonnement) -> None:
    """Make it, with its queue and its user."""
    if not await abonnementen.add_amqp(doing.registry, doing.log, new, router=doing.router):
        doing.tell(f"{part.told}: {MAKE_USER}")
    if part.amqp is None or not part.amqp.password:
        doing.tell(f"{part.told}: nrc amqp password {new.uuid} gives it a password")


def another_password(part: AbonnementPart, known: Abonnement) -> str:
    """The password of the file, when it is not the present one; else ""."""
    password = (part.amqp.password if part.amqp else None) or ""
    return "" if fits(password, known.auth) else password


async def change(doing: Doing, part: AbonnementPart, known: Abonnement, wanted: dict[str, Any]) -> None:
    """Change its kanalen and its password."""
    if "kanalen" in wanted:
        await abonnementen.change(
            doing.registry,
            doing.log,
            known,
            {"kanalen": wanted["kanalen"]},
            router=doing.router,
            callbacks=doing.callbacks,
            settings=doing.settings,
        )
    if (password := another_password(part, known)) and not await abonnementen.renew_amqp_password(
        doing.registry, doing.log, known, password, router=doing.router
    ):
        doing.tell(f"{part.told}: {MAKE_USER}")


def told(new: Abonnement) -> list[Difference]:
    """What its consumer reads, and that it has a password."""
    of = queue_of(new.callback_url)
    return [
        Difference("type", Kind.AMQP),
        Difference("kind", of.kind),
        *(Difference(name, str(value)) for name, value in of.limits.items()),
        Difference("password", secret=True),
    ]


def _queue(part: AbonnementPart) -> AmqpQueue:
    given = {} if part.amqp is None else part.amqp.model_dump(exclude={"password"}, by_alias=True)
    return AmqpQueue.model_validate(given)
