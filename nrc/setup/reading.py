"""Reads YAML as plain values, each with its line, and puts in what comes from the environment or from files.

Every scalar is the text that was written: `010`, `yes` and `2026-01-31` stay what they are, and the model
says what they mean. An empty one, `~` and `null` are none: such a name counts as left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import yaml

from nrc.setup.faults import Fault, Path

MOST_NODES = 200_000  # a few lines of aliases can stand for more than any memory holds
MOST_BYTES = 64 * 1024  # of a file that has one value
_NULL = ("", "~", "null", "Null", "NULL")
_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}"
    for kind in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq", "merge", "value")
)
_LEFT_OUT = object()


@dataclass(slots=True)
class Document:
    """What a file says.

    lines: of each place in it. origins: of a place in a file that was translated, where that stands in the
    file.
    """

    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    origins: dict[Path, Path] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """The line of a place, or of the nearest one around it that there is."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)

    def fault(self, path: Path, reason: str) -> Fault:
        """A fault of this place."""
        return Fault(self._origin(path), reason, self.line(path))

    def _origin(self, path: Path) -> Path:
        for length in range(len(path), 0, -1):
            if (start := self.origins.get(path[:length])) is not None:
                return (*start, *path[length:])
        return path


def read(text: str, *, environment: Mapping[str, str], folder: FilePath) -> Document:
    """What a YAML text says; `faults` has all that is wrong with it as YAML, and with its `value_from`.

    folder: in which the files of `value_from` stand.
    """
    document = Document()
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            _Walk(document, environment, folder).walk(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(part for part in (error.context, error.problem) if part)
        document.faults.append(Fault((), f"this is no YAML: {reason}", mark.line + 1 if mark else 0))
    except yaml.YAMLError as error:
        document.faults.append(Fault((), f"this is no YAML: {' '.join(str(error).split())}"))
    except RecursionError:
        document.faults.append(Fault((), "this is nested too deeply"))
    except _TooMuch:
        document.faults.append(Fault((), f"this has more than {MOST_NODES} values, aliases included"))
    return document


class _TooMuch(Exception):
    """The file stands for too many values."""


class _Walk:
    def __init__(self, document: Document, environment: Mapping[str, str], folder: FilePath) -> None:
        self._document = document
        self._environment = environment
        self._folder = folder
        self._nodes = 0
        self._merging = yaml.constructor.SafeConstructor()

    def walk(self, node: yaml.Node) -> None:
        self._document.lines[()] = node.start_mark.line + 1
        value = self._of(node, ())
        self._document.value = None if value is _LEFT_OUT else value

    def _fault(self, path: Path, reason: str, node: yaml.Node) -> None:
        self._document.faults.append(Fault(path, reason, node.start_mark.line + 1))

    def _of(self, node: yaml.Node, path: Path) -> Any:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise _TooMuch
        if node.tag not in _TAGS:
            self._fault(path, f"the tag {node.tag} means nothing here", node)
            return _LEFT_OUT
        if isinstance(node, yaml.ScalarNode):
            return _LEFT_OUT if node.style is None and node.value in _NULL else node.value
        if isinstance(node, yaml.SequenceNode):
            return self._items(node, path)
        if not isinstance(node, yaml.MappingNode):
            raise TypeError(node)
        return self._mapping(node, path)

    def _items(self, node: yaml.SequenceNode, path: Path) -> list[Any]:
        items: list[Any] = []
        for item in node.value:
            # Items that are left out do not count, so that the places are those of the list that is made.
            place = (*path, len(items))
            self._document.lines[place] = item.start_mark.line + 1
            if (value := self._of(item, place)) is not _LEFT_OUT:
                items.append(value)
        return items

    def _mapping(self, node: yaml.MappingNode, path: Path) -> Any:
        own = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        self._merging.flatten_mapping(node)
        found: dict[str, Any] = {}
        pairs: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._fault(path, "a name must be a text", key)
                continue
            if key.value in pairs and own[key.value] > 1:
                self._fault((*path, key.value), "this name stands here twice", key)
            pairs[key.value] = (key, value)
        node.value = [*pairs.values()]  # an alias leads here again
        if "value_from" in pairs:
            return self._from_outside(node, pairs, path)
        for name, (key, value) in pairs.items():
            place = (*path, name)
            self._document.lines[place] = key.start_mark.line + 1
            if (read := self._of(value, place)) is not _LEFT_OUT:
                found[name] = read
        return found

    def _from_outside(
        self, node: yaml.MappingNode, pairs: Mapping[str, tuple[yaml.Node, yaml.Node]], path: Path
    ) -> Any:
        """The text that stands elsewhere."""
        _, inner = pairs["value_from"]
        if len(pairs) > 1 or not isinstance(inner, yaml.MappingNode):
            self._fault(path, "value_from stands alone, and has env or file", node)
            return _LEFT_OUT
        place = (*path, "value_from")
        asked = self._mapping(inner, place)
        names = asked.keys() if isinstance(asked, dict) else set()
        if not names <= {"env", "file", "required", "default"} or len(names & {"env", "file"}) != 1:
            self._fault(place, "value_from has either env or file, and maybe required or default", node)
            return _LEFT_OUT
        by = "env" if "env" in asked else "file"
        if not isinstance(asked[by], str):
            self._fault(place, f"{by} is a name", node)
            return _LEFT_OUT
        if by == "env":
            value, why = self._environment.get(asked["env"]), f"there is no variable {asked['env']}"
            if value is not None and not _is_unicode(value):
                value, why = None, f"the variable {asked['env']} is not UTF-8 text"
        else:
            value, why = self._file(asked["file"])
        if value:
            return value
        if "default" in asked:
            return asked["default"]
        if str(asked.get("required", "true")).lower() in ("false", "no", "off"):
            return _LEFT_OUT
        self._fault(path, why, node)
        return _LEFT_OUT

    def _file(self, name: str) -> tuple[str | None, str]:
        """(its text without the last line's end, why there is none)."""
        file = self._folder / name
        try:
            with file.open("rb") as opened:
                content = opened.read(MOST_BYTES + 1)
            text = content.decode()
        except OSError as error:
            return None, f"{file}: {error.strerror or error}"
        except UnicodeDecodeError:
            return None, f"{file} is not UTF-8 text"
        if len(content) > MOST_BYTES:
            return None, f"{file} has more than {MOST_BYTES} bytes"
        return text.removesuffix("\n").removesuffix("\r"), f"{file} is empty"


def _is_unicode(text: str) -> bool:
    """Whether a variable was text: its other bytes come as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
