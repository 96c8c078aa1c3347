"""Schemathesis over the whole of an OAS document, against a running gateway with its router and broker.

It runs as the program that it is, in a process of its own. NRC_TEST_SCHEMATHESIS_SECONDS makes it go on for
that long, with other examples each time; without it the examples are few and always the same.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import pytest

from ledger.opening import ledger_of
from ledger.operating.replays import Progress
from ledger.values import Key, Outcome, State
from tests.contract.api import Answer, abonnement_of, message
from tests.contract.conftest import open_stage
from tests.contract.extra.conftest import extra_root
from tests.tokens import token

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method,allow_header_conformance,ignored_auth"
)
OF_RESOURCES = ",use_after_free,ensure_resource_availability"
"""Checks that hold where what can be read was made by a POST, and is gone after a DELETE."""
PROGRAM = (sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()")
FEW = ("--max-examples", "8", "--seed", "1")


def bounds() -> tuple[str, ...]:
    """How much is tried."""
    seconds = os.environ.get("NRC_TEST_SCHEMATHESIS_SECONDS")
    return ("--max-time", seconds, "--max-examples", "1000") if seconds else FEW


async def breaks(
    url: str,
    folder: Path,
    there: Mapping[str, str],
    *more: str,
    operations: int,
    phases: str,
    checks: str = CHECKS,
) -> str:
    """What schemathesis says of the document at this URL; "" when no answer breaks it.

    there: ids of what there is, by the names of schemathesis_hooks.py. operations: how many the document has.
    phases: that must have had examples. more: arguments.
    """
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, "run", url,
        "--header", f"Authorization: {token()}",
        "--checks", checks,
        "--warnings", "off",
        "--continue-on-failure",
        "--request-timeout", "60",  # a busy machine is no fault
        "--no-color",
        *bounds(),
        *more,
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "SCHEMATHESIS_HOOKS": "tests.contract.documents.schemathesis_hooks",
            **{f"NRC_TEST_{name}": id_ for name, id_ in there.items()},
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output = (await process.communicate())[0].decode()
    did_all = re.search(rf"Tested: {operations}\b", output) and all(
        f"✅ {phase}" in output for phase in phases.split()
    )
    passed = re.search(r"(\d+) generated, \1 passed", output) is not None
    return "" if process.returncode == 0 and did_all and passed else output or "nothing"


async def test_no_answer_breaks_the_document(vhost: str, tmp_path: Path) -> None:
    # A registry of its own: what is made up here would confuse other tests.
    async with open_stage(vhost, tmp_path) as stage, stage.gateway(jwt_expiry=86400) as api:
        kanaal = await api.post("/kanaal", {"naam": "zaken"})
        abonnement = await api.post("/abonnement", {**abonnement_of("zaken"), "kanalen": []})
        there = {"KANAAL": id_of(kanaal), "ABONNEMENT": id_of(abonnement)}
        # Sound and unsound data (coverage, fuzzing), and what follows from an answer's Location (stateful).
        phases = "Examples Coverage Fuzzing Stateful"
        url, checks = f"{api.root}/openapi.yaml", CHECKS + OF_RESOURCES
        fault = await breaks(url, tmp_path, there, operations=12, phases=phases, checks=checks)
        assert not fault, fault


async def test_no_answer_breaks_the_extra_document(
    vhost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer waits are refused here, as the document allows too.
    monkeypatch.setattr("extra.pull.fetching.LONGEST_WAIT", 2)
    async with (
        open_stage(vhost, tmp_path) as stage,
        stage.gateway(jwt_expiry=86400, extra_rate=10000) as api,
        ledger_of(stage.settings) as ledger,
    ):
        await api.post("/kanaal", {"naam": "zaken"})
        abonnement = id_of(await api.post("/abonnement", abonnement_of("zaken")))
        sent = await api.post("/notificaties", message("zaken"))
        id_ = sent.headers["nrc-notificatie-id"]
        delivered = Outcome(Key(UUID(id_), UUID(abonnement)), State.DELIVERED, 0, 1, at=1)
        await ledger.write([delivered])
        begun = await api.post(f"{extra_root(api)}/abonnement/{abonnement}/redeliver", {"ids": [id_]})
        there = {"ABONNEMENT": abonnement, "NOTIFICATIE": id_, "NUMMER": str(begun.json["nummer"])}
        document = f"{extra_root(api)}/openapi.yaml"
        # The first has no end; the others are those of a gateway with NRC_AC_URL, else 404.
        but = ("abonnement_pull_events", "callbacks_create", "jwtsecret_create")
        left_out = [word for each in but for word in ("--exclude-operation-id", each)]
        phases = "Examples Coverage Fuzzing"
        fault = await breaks(document, tmp_path, there, *left_out, operations=27, phases=phases)
        assert not fault, fault
        await ledger.replays.change(begun.json["nummer"], Progress.STOPPED)


def id_of(answer: Answer) -> str:
    """The id in an answer's url."""
    url: str = answer.json["url"]
    return url.rpartition("/")[2]
