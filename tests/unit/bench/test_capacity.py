"""docs/capacity.md says what the model says, and the model agrees with what was measured."""

from __future__ import annotations

import argparse
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench.capacity.command import add_options, capacity, with_table
from bench.capacity.model import CITY, EXAMPLES, NATION, PROVINCE, Costs, Limits, cpu_of_1000, divided, need

PAGE = (Path(__file__).parents[3] / "docs" / "capacity.md").read_text()
COSTS = Costs()
GOOD_TO = 0.25
"""By how much of what was measured the model may be off; the page says what it is."""


def test_the_table_of_the_page_is_what_the_model_gives() -> None:
    assert with_table(PAGE) == PAGE, "run `make docs`"


@pytest.mark.parametrize(
    "formula",
    [
        f"accepted × {COSTS.gateway_each:g} ms + delivered × {COSTS.gateway_delivery:g} ms",
        f"delivered × {COSTS.deliverer_delivery:g} ms",
        f"accepted × {COSTS.rabbitmq_each:g} ms + delivered × {COSTS.rabbitmq_delivery:g} ms",
        f"accepted × {COSTS.postgresql.server_each / 1000:g} ms + "
        f"delivered × {COSTS.postgresql.server_delivery / 1000:g} ms",
        f"{COSTS.postgresql.process_each / 1000:g} ms more of each notificatie, deliverers "
        f"{COSTS.postgresql.process_delivery / 1000:g} ms more of each delivery",
        f"{COSTS.sqlite.bytes_each:g} + fan-out × {COSTS.sqlite.bytes_delivery:g} bytes",
        f"in PostgreSQL {COSTS.postgresql.bytes_each:g} and {COSTS.postgresql.bytes_delivery:g}",
        f"{COSTS.log_each:g} + fan-out × {COSTS.log_delivery:g} bytes",
        f"in: accepted × (body + {COSTS.post_head:g} bytes); out: "
        f"delivered × (body + {COSTS.callback_head:g} bytes)",
        f"what waits × {COSTS.waiting_memory:,.0f} bytes",
        f"what waits × (body + {COSTS.message_waiting:g} bytes)",
        f"(body + {COSTS.message:g} bytes) × (accepted + delivered × nodes)",
        f"accepted × {COSTS.sqlite_each:g} µs + delivered × {COSTS.sqlite_delivery:g} µs",
        f"the sum ÷ {Limits().busy:g}",
    ],
)
def test_the_page_has_the_constants_of_the_model(formula: str) -> None:
    assert formula in PAGE


def test_the_model_agrees_with_what_was_measured() -> None:
    """The page's table: what the model says for 1,000 notificaties, and what was measured."""
    checked = PAGE.partition("\n## Checked\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| (\d+) ms \| ([\d,]+) \| ([\d,]+) \|", checked, re.MULTILINE)
    assert len(rows) >= 4
    for fan_out, _, said, measured in rows:
        model = cpu_of_1000(int(fan_out))
        assert f"{model:,.0f}" == said, fan_out
        assert math.isclose(model, int(measured.replace(",", "")), rel_tol=GOOD_TO), fan_out


def test_twice_as_much_needs_twice_as_much() -> None:
    one, two = need(CITY), need(replace(CITY, per_day=2 * CITY.per_day))
    for name in ("accepted", "delivered", "gateway", "deliverer", "rabbitmq", "ledger_disk", "log_disk"):
        assert getattr(two, name) == pytest.approx(2 * getattr(one, name)), name


def test_slow_callbacks_need_deliverers_and_no_cpu() -> None:
    """1,389 a second at the peak, to three, each under way for 2 s: 8,333 at once, of which one bears 90."""
    slow = need(replace(PROVINCE, callback=2.0))
    assert slow.places == pytest.approx(20e6 / 86400 * 6 * 3 * 2)
    assert slow.deliverers == math.ceil(slow.places / 150 / 0.6)
    assert slow.deliverer == need(PROVINCE).deliverer


def test_what_one_nrc_was_not_measured_to_do_is_divided() -> None:
    assert [need(each).nrcs for each in EXAMPLES] == [1, 1, 1, 24, 1]
    assert need(replace(CITY, abonnementen=12_000)).nrcs == 3
    assert need(divided(NATION, 24)).accepted * 24 == pytest.approx(need(NATION).accepted)


def test_a_demand_of_one_s_own(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.set_defaults(abonnementen=1)
    add_options(parser)
    capacity(parser.parse_args(["--per-day", "3e6", "--fan-out", "4", "--peak", "8", "--postgresql"]))
    told = capsys.readouterr().out
    assert "| notificaties a day | 3,000,000 |" in told
    assert "| accepted | 278 |" in told
    assert "| delivered | 1,110 |" in told
    assert "| registry and ledger in | PostgreSQL |" in told
