"""A setup file as the model, or every fault of it: of its YAML, its fields, and what stands in it twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from nrc.setup.faults import Fault, Faults, Path
from nrc.setup.model import SetupFile
from nrc.setup.reading import Document

_SAYS: Mapping[str, str] = {
    "missing": "this is required",
    "list_type": "a list stands here",
    "dict_type": "names and their values stand here",
    "model_type": "names and their values stand here",
    "model_attributes_type": "names and their values stand here",
    "string_type": "a text stands here",
    "uuid_type": "a UUID stands here",
    "uuid_parsing": "this is no UUID",
    "bool_type": "this is true or false",
    "bool_parsing": "this is true or false",
    "int_type": "a number stands here",
    "int_parsing": "a number stands here",
}


@dataclass(frozen=True, slots=True)
class Checked:
    """A file without faults, as far as it tells by itself.

    document: for the lines of faults found later. foreign: it was not written for us, so what does not fit
    what there is here is told and left out.
    """

    name: str
    file: SetupFile
    document: Document
    foreign: bool = False


def checked(name: str, document: Document, *, foreign: bool = False) -> Checked:
    """A file as the model. foreign: as of Checked. Raises Faults."""
    faults = [*document.faults]
    if document.value is None and not faults:
        faults.append(document.fault((), "there is nothing in this file"))
    file = None
    if document.value is not None:
        try:
            file = SetupFile.model_validate(document.value)
            faults += _twice(file, document)
        except ValidationError as error:
            known = [each.path for each in faults]
            for each in error.errors(include_url=False, include_input=False):
                faults += _faults(each, document, known)
    if faults or file is None:
        raise Faults(name, faults)
    return Checked(name, file, document, foreign)


def _faults(error: ErrorDetails, document: Document, known: list[Path]) -> Iterator[Fault]:
    """The faults in one of pydantic's; none where a value could not be had at all, which is told already."""
    path: Path = tuple(part for part in error["loc"] if part != "[key]")
    if any(path[: len(place)] == place for place in known if place):
        return
    context = error.get("ctx", {})
    kind = error["type"]
    if kind == "extra_forbidden":
        yield document.fault(path, _unknown(path))
    elif kind == "faults":
        for key, _, reason in context["faults"]:
            yield document.fault((*path, key), reason)
    elif kind == "fault":
        yield document.fault(path, context["reason"])
    elif kind in ("enum", "literal_error"):
        yield document.fault(path, f"one of {context['expected']} stands here")
    else:
        yield document.fault(path, _SAYS.get(kind, error["msg"]))


def _unknown(path: Path) -> str:
    names = _names(path[:-1])
    close = get_close_matches(str(path[-1]), names, n=1, cutoff=0.6)
    if close:
        return f"this name is unknown here; is {close[0]} meant?"
    return f"this name is unknown here; there are {', '.join(names)}"


def _names(path: Path) -> list[str]:
    """The names that the model has at a place."""
    model: type[BaseModel] = SetupFile
    for part in path:
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        if part in fields:
            model = _model_in(fields[str(part)].annotation) or model
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model somewhere in a type such as `list[KanaalPart] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _model_in(each))), None)


def _twice(file: SetupFile, document: Document) -> Iterator[Fault]:
    """What stands in the file a second time."""
    keys: Mapping[str, list[Any]] = {
        "kanalen": [each.naam for each in file.kanalen or ()],
        "applications": [each.client_id for each in file.applications or ()],
        "mappings": [each.name for each in file.mappings or ()],
        "abonnementen": [each.key for each in file.abonnementen or ()],
        "users": [each.name for each in file.users or ()],
    }
    for section, of in keys.items():
        first: dict[Any, int] = {}
        for index, key in enumerate(of):
            if key in first:
                line = document.line((section, first[key]))
                yield document.fault((section, index), f"this stands in the file already, at line {line}")
            first.setdefault(key, index)
