"""A problem as an answer: application/problem+json (RFC 9457). For every process that gives such answers."""

from __future__ import annotations

import orjson
from aiohttp import web

from schemas.errors import MethodNotAllowed, Problem, ValidationError

PROBLEM_JSON = "application/problem+json"


def problem_details(problem: Problem, *, about: str = "", instance: str = "") -> web.Response:
    """The answer, with the headers that belong to it. about: its `type`, a URL; instance: a URI."""
    content: dict[str, object] = {"type": about} if about else {}
    content |= {
        "code": problem.code,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
    }
    if instance:
        content["instance"] = instance
    if isinstance(problem, ValidationError):
        content["invalidParams"] = [
            {"name": _printable(param.name), "code": param.code, "reason": _printable(param.reason)}
            for param in problem.invalid_params
        ]
    answer = web.Response(
        body=orjson.dumps(content), status=problem.status, headers={"Content-Type": PROBLEM_JSON}
    )
    if isinstance(problem, MethodNotAllowed):
        answer.headers["Allow"] = ", ".join(problem.allowed)
    if problem.retry_after is not None:
        answer.headers["Retry-After"] = str(problem.retry_after)
    return answer


def _printable(text: str) -> str:
    """A client's text without lone surrogates, which JSON cannot hold."""
    return text if text.isascii() else text.encode(errors="replace").decode()
