"""The queue or stream of an abonnement of type amqp, with its limits. Pure.

It is kept as the callbackUrl of the abonnement, `amqp:nrc.amqp.<uuid>?kind=…`: where deliveries go. RabbitMQ
never changes the arguments of a queue, so none of it changes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from router import names
from schemas.abonnement import AMQP
from schemas.fields import fault

MiB, GiB = 1024**2, 1024**3
SEGMENTS = 20
"""In so many segments a stream is divided: RabbitMQ removes whole ones only."""
LEAST_SEGMENT, LARGEST_SEGMENT = 64 * 1024, 100 * MiB
DAY = 24 * 3600


class QueueKind(StrEnum):
    """What the consumer reads."""

    QUORUM = "quorum"
    """A quorum queue: what was acknowledged is gone, and what does not fit waits with us."""
    STREAM = "stream"
    """A stream: it keeps what was read, until it is too old or too much."""


_LIMITS = {
    "max_length": (1, 10_000_000, "berichten"),
    "max_bytes": (MiB, 1024 * GiB, "bytes"),
    "max_age": (60, 3650 * DAY, "seconden"),
}
_OF_KIND: dict[QueueKind, dict[str, int]] = {
    QueueKind.QUORUM: {"max_length": 100_000, "max_bytes": GiB},
    QueueKind.STREAM: {"max_age": 7 * DAY, "max_bytes": 5 * GiB},
}
"""The limits of each kind, with what they are when nothing is said."""


class AmqpQueue(BaseModel):
    """What the consumer reads. max_age: seconds. None: a limit of the other kind."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)

    kind: QueueKind = Field(QueueKind.QUORUM, description="quorum (the default) or stream.")
    max_length: int | None = Field(None, description="Messages in a quorum queue; more waits with us.")
    max_bytes: int | None = Field(None, description="Bytes in it; of a stream the oldest go.")
    max_age: int | None = Field(None, description="Seconds that a stream keeps what it has.")

    @field_validator("kind", mode="before")
    @classmethod
    def _known(cls, value: Any) -> QueueKind:
        try:
            return QueueKind(value)
        except ValueError:
            raise fault("invalid", "Dit is quorum of stream.") from None

    @field_validator("max_length", "max_bytes", "max_age", mode="before")
    @classmethod
    def _within(cls, value: Any, info: Any) -> int | None:
        if value is None:
            return None
        least, most, what = _LIMITS[info.field_name]
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 16:
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise fault("invalid", f"Dit is een geheel getal van {least} tot en met {most} ({what}).")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        limits = _OF_KIND[self.kind]
        for name in _LIMITS:
            if name not in limits and getattr(self, name) is not None:
                raise fault("invalid", f"{to_camel(name)} is er niet van een {self.kind}.")
        for name, usual in limits.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, usual)
        return self

    @property
    def limits(self) -> dict[str, int]:
        """Its limits, by the names of the API."""
        return {to_camel(name): getattr(self, name) for name in _OF_KIND[self.kind]}

    def url(self, uuid: UUID) -> str:
        """The callbackUrl that says all of it."""
        return f"{AMQP}{names.amqp_queue(uuid)}?{urlencode({'kind': self.kind.value, **self.limits})}"

    @property
    def arguments(self) -> tuple[tuple[str, str | int], ...]:
        """The arguments with which it is declared."""
        if self.kind is QueueKind.STREAM:
            size = min(max((self.max_bytes or 0) // SEGMENTS, LEAST_SEGMENT), LARGEST_SEGMENT)
            return (
                ("x-queue-type", "stream"),
                ("x-max-length-bytes", self.max_bytes or 0),
                ("x-max-age", f"{self.max_age}s"),
                ("x-stream-max-segment-size-bytes", size),
            )
        return (
            ("x-queue-type", "quorum"),
            # A consumer that falls over a message again and again keeps it: RabbitMQ 4 would drop it.
            ("x-delivery-limit", 100_000),
            ("x-max-length", self.max_length or 0),
            ("x-max-length-bytes", self.max_bytes or 0),
            ("x-overflow", "reject-publish"),
        )


def queue_of(callback_url: str) -> AmqpQueue:
    """What the callbackUrl of an abonnement of type amqp says. What a newer program added is left out."""
    given = dict(parse_qsl(callback_url.partition("?")[2]))
    known = {field.alias or name for name, field in AmqpQueue.model_fields.items()}
    return AmqpQueue.model_validate({name: text for name, text in given.items() if name in known})
