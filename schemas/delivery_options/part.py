"""Part: what is kept with an abonnement beyond the standard, as a model that is JSON in the registry."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

KEPT = {"kept": True}
"""The context in which what the registry keeps is read: it was checked when it was given."""


class Part(BaseModel):
    """Fields in camelCase, each with a default or required; one that is not known is refused."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)

    def as_given(self) -> dict[str, Any]:
        """What it was made of, without what has its default; secrets included, if it has any."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    def text(self) -> str:
        """As JSON, for the registry."""
        return self.model_dump_json(by_alias=True, exclude_defaults=True)

    @classmethod
    def of_text(cls, text: str) -> Self | None:
        """What `text` made; None of "". What a newer program added is left out."""
        return cls.model_validate_json(text, extra="ignore", context=KEPT) if text else None
