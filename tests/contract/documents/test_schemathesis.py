"""Schemathesis over the whole OAS document, against a running gateway with its router and broker.

It runs as the program that it is, in a process of its own. NRC_TEST_SCHEMATHESIS_SECONDS makes it go on for
that long, with other examples each time; without it the examples are few and always the same.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from tests.contract.conftest import open_stage
from tests.tokens import token

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method,allow_header_conformance,ignored_auth,use_after_free,"
    "ensure_resource_availability"
)
PROGRAM = (sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()")
FEW = ("--max-examples", "25", "--seed", "1")


def bounds() -> tuple[str, ...]:
    """How much is tried."""
    seconds = os.environ.get("NRC_TEST_SCHEMATHESIS_SECONDS")
    return ("--max-time", seconds, "--max-examples", "1000") if seconds else FEW


async def test_no_answer_breaks_the_document(vhost: str, tmp_path: Path) -> None:
    # A registry of its own: what is made up here would confuse other tests.
    async with open_stage(vhost, tmp_path) as stage, stage.gateway(jwt_expiry=86400) as api:
        kanaal = await api.post("/kanaal", {"naam": "zaken"})
        abonnement = await api.post(
            "/abonnement", {"callbackUrl": "http://127.0.0.1:9/", "auth": "Token test", "kanalen": []}
        )
        process = await asyncio.create_subprocess_exec(
            *PROGRAM, "run", f"{api.root}/openapi.yaml",
            "--header", f"Authorization: {token()}",
            "--checks", CHECKS,
            "--warnings", "off",
            "--continue-on-failure",
            "--no-color",
            *bounds(),
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parents[3]),
                "SCHEMATHESIS_HOOKS": "tests.contract.documents.schemathesis_hooks",
                "NRC_TEST_KANAAL": kanaal.json["url"].rpartition("/")[2],
                "NRC_TEST_ABONNEMENT": abonnement.json["url"].rpartition("/")[2],
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    assert "Tested: 12" in output, output
    # Sound and unsound data (coverage, fuzzing), and what follows from an answer's Location (stateful).
    assert all(f"✅ {phase}" in output for phase in ("Examples", "Coverage", "Fuzzing", "Stateful")), output
    assert re.search(r"(\d+) generated, \1 passed", output), output
