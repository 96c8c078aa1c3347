"""No secret is compared with `==`, whose duration depends on how much of it is right."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.modules import PACKAGES

ROOT = Path(__file__).parents[2]
SECRETS = {"auth", "authorization", "secret", "old_secret", "token", "password", "signature"}


def names(node: ast.expr) -> Iterator[str]:
    """The last name of what is compared: of `a.secret`, `secret.encode()`, and of each part of a tuple."""
    match node:
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
            for part in parts:
                yield from names(part)
        case ast.Call(func=ast.Attribute(value=value)):
            yield from names(value)
        case ast.Attribute(attr=name) | ast.Name(id=name):
            yield name


def unsafe(source: str) -> list[str]:
    """The comparisons for equality that have a secret on either side."""
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare)
        and any(isinstance(operator, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for operator in node.ops)
        and any(SECRETS.intersection(names(operand)) for operand in (node.left, *node.comparators))
    ]


def test_no_secret_is_compared_by_equality() -> None:
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    found = {str(file.relative_to(ROOT)): unsafe(file.read_text()) for file in files}
    assert {file: comparisons for file, comparisons in found.items() if comparisons} == {}


@pytest.mark.parametrize(
    "source",
    ["a.secret == b", "x != auth", "(url, a.auth) != (b, c)", "token.encode() == b", "a in (secret,)"],
)
def test_this_test_sees_them(source: str) -> None:
    assert unsafe(source) == [source]
    assert unsafe("compare_digest(a.secret, b) or secret is None or name == 'secret'") == []
