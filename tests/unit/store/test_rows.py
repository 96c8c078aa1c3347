"""Rows of abonnementen: what older versions wrote, and large ones."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from schemas.jsontext import LARGE
from store import rows
from store.rows import abonnement_of, abonnement_row
from store.secrets import Vault
from tests.make import an_abonnement


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    vault = Vault((), tmp_path / "secret.keys")
    vault.open(())
    return vault


def test_filters_that_an_older_version_wrote(vault: Vault) -> None:
    abonnement = an_abonnement(("zaken", {"b": "é\u2028😀", "a": '"\\'}), ("documenten", {}))
    row = abonnement_row(abonnement, vault)
    groups = [{"naam": group.naam, "filters": group.filters} for group in abonnement.kanalen]
    assert abonnement_of({**row, "kanalen": json.dumps(groups)}, vault) == abonnement
    assert abonnement_of(row, vault) == abonnement


@pytest.mark.parametrize(("count", "collects"), [(2, True), (LARGE // 8, False)])
def test_no_collections_while_a_large_one_is_read(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, count: int, collects: bool
) -> None:
    seen = []

    class Watched:
        @staticmethod
        def loads(text: str) -> Any:
            seen.append(gc.isenabled())
            return orjson.loads(text)

    abonnement = an_abonnement(("zaken", {f"f{number}": "x" for number in range(count)}))
    row = abonnement_row(abonnement, vault)
    monkeypatch.setattr(rows, "orjson", Watched)
    assert abonnement_of(row, vault) == abonnement
    assert seen == [collects]
    assert gc.isenabled()
