"""STANDARD: Errors. The problem for each exception, and its form."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from gateway.http.problems import answer_for, problem_answer, problem_of
from gateway.http.requests import CALLBACK_URL
from router.publishing import ExchangeMissing
from schemas import errors
from schemas.errors import InvalidParam, Problem, ValidationError
from tests.tokens import token

ROOT = "https://nrc.example.nl"


@pytest.mark.parametrize(
    ("error", "status", "code", "name"),
    [
        (ValidationError([InvalidParam("a", "b", "c")]), 400, "invalid", "ValidationError"),
        (errors.ParseError(), 400, "parse_error", "ParseError"),
        (errors.PermissionDenied(), 403, "permission_denied", "PermissionDenied"),
        (errors.PermissionDenied("x", code="jwt-expired"), 403, "jwt-expired", "PermissionDenied"),
        (errors.NotFound(), 404, "not_found", "NotFound"),
        (errors.MethodNotAllowed("PUT", ["GET"]), 405, "method_not_allowed", "MethodNotAllowed"),
        (errors.NotAcceptable(), 406, "not_acceptable", "NotAcceptable"),
        (errors.RequestTooLarge(), 413, "request_too_large", "RequestTooLarge"),
        (errors.UnsupportedMediaType(), 415, "unsupported_media_type", "UnsupportedMediaType"),
        (errors.Throttled(retry_after=1), 429, "throttled", "Throttled"),
        (errors.BrokerUnavailable("x"), 503, "service_unavailable", "ServiceUnavailable"),
        (ExchangeMissing("x"), 503, "service_unavailable", "ServiceUnavailable"),
        (errors.MessageTooLarge(2, 1), 413, "request_too_large", "RequestTooLarge"),
        (errors.Unroutable("x"), 503, "service_unavailable", "ServiceUnavailable"),
        (errors.RegistryError("x"), 503, "service_unavailable", "ServiceUnavailable"),
        (errors.Conflict("x"), 503, "service_unavailable", "ServiceUnavailable"),
        (errors.LoopDetected(5, most=4), 508, "loop_detected", "LoopDetected"),
        (errors.APIException(), 500, "error", "APIException"),
        (ZeroDivisionError("geheim"), 500, "error", "APIException"),
        (TimeoutError(), 500, "error", "APIException"),
        (web.HTTPNotFound(), 404, "not_found", "NotFound"),
        (web.HTTPForbidden(), 403, "permission_denied", "PermissionDenied"),
        (web.HTTPMethodNotAllowed("PUT", ["POST", "GET"]), 405, "method_not_allowed", "MethodNotAllowed"),
        (web.HTTPRequestEntityTooLarge(1), 413, "request_too_large", "RequestTooLarge"),
        (web.HTTPExpectationFailed(), 400, "parse_error", "ParseError"),
        (web.HTTPRequestURITooLong(), 400, "parse_error", "ParseError"),
        (web.RequestPayloadError(), 400, "parse_error", "ParseError"),
        (web.HTTPInternalServerError(), 500, "error", "APIException"),
        (web.HTTPFound("/x"), 500, "error", "APIException"),
    ],
)
def test_what_an_exception_is(error: Exception, status: int, code: str, name: str) -> None:
    answer = answer_for(error, make_mocked_request("GET", "/x"), root=ROOT)
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["API-version"] == "1.0.1"
    assert isinstance(answer.body, bytes)
    problem = json.loads(answer.body)
    assert problem["type"] == f"{ROOT}/ref/fouten/{name}/"
    assert problem["code"] == code
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert "geheim" not in problem["detail"]
    assert UUID(problem["instance"].removeprefix("urn:uuid:")).version == 4
    assert ("Retry-After" in answer.headers) is (status in (429, 503))
    assert ("Allow" in answer.headers) is (status == 405)
    assert ("invalidParams" in problem) is (code == "invalid")


def test_every_problem_of_the_tree_is_in_the_table_above() -> None:
    marks: Any = test_what_an_exception_is
    named = {row[3] for row in marks.pytestmark[0].args[1]}
    assert named == {problem.__name__ for problem in Problem.__subclasses__()}


def test_invalid_params() -> None:
    params = [InvalidParam("kanalen.0.naam", "required", "Verplicht."), InvalidParam("a\ud800", "x", "é")]
    answer = problem_answer(ValidationError(params), root=ROOT, instance="urn:uuid:x")
    assert isinstance(answer.body, bytes)
    assert json.loads(answer.body)["invalidParams"] == [
        {"name": "kanalen.0.naam", "code": "required", "reason": "Verplicht."},
        {"name": "a?", "code": "x", "reason": "é"},
    ]


def test_the_allowed_methods_are_told() -> None:
    error = web.HTTPMethodNotAllowed("PUT", ["POST", "GET"])
    answer = answer_for(error, make_mocked_request("PUT", "/x"), root=ROOT)
    assert answer.headers["Allow"] == "GET, POST"


def test_a_fault_of_ours_is_in_the_log_under_its_instance() -> None:
    error = ZeroDivisionError("waarom")
    with structlog.testing.capture_logs() as lines:
        answer = answer_for(error, make_mocked_request("GET", "/x"), root=ROOT)
    (line,) = lines
    assert isinstance(answer.body, bytes)
    assert line["instance"] == json.loads(answer.body)["instance"]
    assert line["log_level"] == "error"
    assert line["exc_info"] is error


def test_a_refusal_is_logged_without_what_was_sent() -> None:
    error = ValidationError([InvalidParam("auth", "invalid", "reden")])
    headers = {"Authorization": token("iemand", secret="een-geheim")}
    request = make_mocked_request("POST", "/x?t=geheim", headers=headers).clone(remote="10.1.2.3")
    request[CALLBACK_URL] = "https://ik:ge/geheim@example.nl:8443/hook?token=geheim#geheim"
    with structlog.testing.capture_logs() as lines:
        answer_for(error, request, root=ROOT)
    (line,) = lines
    assert line["fields"] == "auth: invalid"
    assert line["reason"] == "auth: reden"
    assert line["log_level"] == "info"
    assert (line["method"], line["path"], line["remote"]) == ("POST", "/x", "10.1.2.3")
    assert line["client"] == "iemand", "as the token claims, whoever signed it"
    assert line["callbackUrl"] == "https://***@example.nl:8443/hook?…"
    assert "geheim" not in str(line)
    assert problem_of(error) is error


@pytest.mark.parametrize(
    "header", [None, "Basic geheim", "Bearer geheim", "Bearer a.b.c", "Bearer " + "x" * 20_000]
)
def test_who_cannot_be_told_is_left_out_of_the_log(header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    with structlog.testing.capture_logs() as lines:
        answer_for(errors.PermissionDenied(), make_mocked_request("GET", "/x", headers=headers), root=ROOT)
    assert lines[0]["reason"] == errors.PermissionDenied.title
    assert "client" not in lines[0]
    assert "callbackUrl" not in lines[0]


UUID_4 = "0d4b4788-981a-42a2-9a25-2cb2315a5bed"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/api/v1/kanaal/zaken", "In deze URL staat geen UUID. Noem een kanaal met"),
        (f"/api/v1/kanaal/{UUID_4}x", "In deze URL staat geen UUID. Noem een kanaal met"),
        ("/api/v1/abonnement/1", "In deze URL staat geen UUID. Noem een abonnement met"),
        (
            f"/api/v1/abonnement/{UUID_4.replace('-', '')}",
            "In deze URL staat geen UUID. Noem een abonnement met",
        ),
        ("/api/extra/v1/abonnement/1", "In deze URL staat geen UUID. Noem een abonnement met"),
        ("/api/extra/v1/abonnement/1/status", "In deze URL staat geen UUID. Noem een abonnement met"),
        (
            f"/api/extra/v1/abonnement/1/uitleg/{UUID_4}",
            "In deze URL staat geen UUID. Noem een abonnement met",
        ),
        (
            f"/api/extra/v1/abonnement/{UUID_4}/uitleg/1",
            "In deze URL staat geen UUID. Noem een notificatie met",
        ),
        ("/api/extra/v1/notificaties/1", "In deze URL staat geen UUID. Noem een notificatie met"),
        *(
            (path, "Deze URL bestaat hier niet.")
            for path in (
                "/",
                "/abonnement/1",
                "/api/v1/abonnement/",
                f"/api/v1/abonnement/{UUID_4}/",
                f"/api/v1/abonnement/{UUID_4.upper()}/x",
                f"/api/extra/v1/abonnement/{UUID_4}/x",
                "/api/v1/notificaties/1",
                "/api/extra/v1/kanaal/1",
            )
        ),
    ],
)
def test_a_path_without_the_uuid_that_belongs_there_says_so(path: str, says: str) -> None:
    answer = answer_for(web.HTTPNotFound(), make_mocked_request("GET", path), root=ROOT)
    assert isinstance(answer.body, bytes)
    problem = json.loads(answer.body)
    assert (problem["status"], problem["code"]) == (404, "not_found")
    assert problem["detail"].startswith(says)
