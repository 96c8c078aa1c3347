"""The Grafana dashboard deploy/grafana/dashboards/nrc.json, made of the rows of panels below.

`python -m tools.dashboard` writes it. tests/unit/test_deploy.py compares it with what is made here, and
tests/e2e/test_watching.py its names with those that real processes tell.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "deploy" / "grafana" / "dashboards" / "nrc.json"
SOURCE = {"type": "prometheus", "uid": "${source}"}
COLUMNS = 24
RATE = "[$__rate_interval]"

ACCEPTED = f"sum(rate(nrc_accepted_total{RATE}))"
DELIVERED = f"sum(rate(nrc_delivered_total{RATE}))"
WITHIN_A_SECOND = (
    f'sum(rate(nrc_delivery_seconds_bucket{{le="1.0"}}{RATE})) / sum(rate(nrc_delivery_seconds_count{RATE}))'
)


@dataclass(frozen=True)
class Panel:
    """One panel. queries: what is asked, each with the legend of its lines. unit: as Grafana calls it.

    kind: `timeseries`, `stat` or `table`. bad: the value from which on a number is red; falls: below which.
    """

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    about: str = ""
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    stacked: bool = False
    bad: float | None = None
    falls: bool = False


def quantiles(name: str) -> tuple[tuple[str, str], ...]:
    """The median, and what one in twenty and one in a hundred takes at least."""
    return tuple(
        (f"histogram_quantile({quantile}, sum by (le) (rate({name}_bucket{RATE})))", legend)
        for quantile, legend in (("0.5", "p50"), ("0.95", "p95"), ("0.99", "p99"))
    )


def stat(
    title: str, query: str, *, unit: str = "short", about: str = "", bad: float, falls: bool = False
) -> Panel:
    """One large number."""
    return Panel(
        title, ((query, ""),), unit=unit, about=about, kind="stat", width=3, height=4, bad=bad, falls=falls
    )


ROWS: dict[str, tuple[Panel, ...]] = {
    "Now": (
        stat("Gateways ready", 'sum(nrc_ready{process="gateway"})', bad=1, falls=True),
        stat("Deliverers ready", 'sum(nrc_ready{process="deliverer"})', bad=1, falls=True),
        stat("Keepers at work", "sum(nrc_keeper_works)", bad=1, falls=True),
        stat("Delivered within 1 s", WITHIN_A_SECOND, unit="percentunit", bad=0.5, falls=True),
        stat(
            "Oldest waiting",
            'max(nrc_oldest_waiting_seconds{state="active"})',
            unit="s",
            about="Of active abonnementen, also between two attempts.",
            bad=28_800,
        ),
        stat("Held", 'max(nrc_abonnementen{state="held"})', bad=1),
        stat("Undeliverable", "max(nrc_undeliverable)", bad=1),
        stat("Ledger behind", "max(nrc_ledger_lag_seconds)", unit="s", bad=30),
    ),
    "Accepting": (
        Panel(
            "Accepted and delivered",
            ((ACCEPTED, "notificaties accepted"), (DELIVERED, "deliveries")),
            unit="reqps",
            about="A notificatie is delivered once to each abonnement that it is for.",
        ),
        Panel(
            "Refused",
            ((f"sum by (status, code) (rate(nrc_refused_total{RATE}))", "{{status}} {{code}}"),),
            unit="reqps",
        ),
        Panel("From publishing to confirm", quantiles("nrc_confirm_seconds"), unit="s"),
        Panel(
            "Accepted by",
            ((f"sum by (homes) (rate(nrc_accepted_total{RATE}))", "{{homes}}"),),
            unit="reqps",
            about="both: RabbitMQ and the ledger. One of them only: the other was away or slow.",
            stacked=True,
        ),
        Panel("Notificaties under way", (("nrc_gateway_under_way", "{{instance}}"),)),
        Panel(
            "Questions to the Autorisaties API",
            (
                (f"sum by (outcome) (rate(nrc_ac_questions_total{RATE}))", "{{outcome}}"),
                (f"sum(rate(nrc_ac_stale_total{RATE}))", "requests judged by a former answer"),
            ),
            unit="reqps",
            about="Empty where NRC_AC_URL is not set. refused: our own client is.",
        ),
        Panel("Connections of clients", (("nrc_gateway_connections", "{{instance}}"),)),
    ),
    "Delivering": (
        Panel("From accepted to delivered", quantiles("nrc_delivery_seconds"), unit="s"),
        Panel("Share delivered within 1 s", ((WITHIN_A_SECOND, "within 1 s"),), unit="percentunit"),
        Panel("Answers of callbacks", quantiles("nrc_callback_seconds"), unit="s"),
        Panel(
            "Failed attempts",
            (
                (f"sum by (class) (rate(nrc_failed_attempts_total{RATE}))", "{{class}}"),
                (f"sum(rate(nrc_failed_probes_total{RATE}))", "probe"),
            ),
            unit="reqps",
            stacked=True,
        ),
        Panel(
            "What waits",
            (
                ("max by (state) (nrc_waiting)", "in a queue, {{state}}"),
                ("max by (state) (nrc_retrying)", "between attempts, {{state}}"),
            ),
            about="By the state of the abonnement.",
        ),
        Panel("Oldest waiting", (("max by (state) (nrc_oldest_waiting_seconds)", "{{state}}"),), unit="s"),
        Panel("Abonnementen", (("max by (state) (nrc_abonnementen)", "{{state}}"),), stacked=True),
        Panel("Requests under way", (("nrc_deliverer_under_way", "{{instance}}"),)),
        Panel(
            "Undeliverable, stuck, unsure",
            (
                ("max(nrc_undeliverable)", "undeliverable"),
                ("max(nrc_stuck)", "stuck"),
                ("max(nrc_unsure)", "unsure"),
            ),
        ),
    ),
    "Ledger": (
        Panel(
            "Behind",
            (("nrc_ledger_lag_seconds", "{{instance}}"),),
            unit="s",
            about="Age of the oldest notificatie or outcome that is not written.",
        ),
        Panel(
            "Given back",
            ((f"sum by (cause) (rate(nrc_given_back_total{RATE}))", "{{cause}}"),),
            unit="reqps",
            about="What RabbitMQ lost, and what it did not have yet (unrouted).",
        ),
        Panel(
            "Size",
            (
                ("max(nrc_ledger_bytes)", "in use"),
                ("max(nrc_ledger_budget_bytes)", "budget"),
                ("min(nrc_disk_free_bytes)", "free on the disk"),
            ),
            unit="bytes",
        ),
    ),
    "Alerts to operators": (
        Panel(
            "Messages",
            (
                (
                    f"sum by (channel, outcome) (increase(nrc_alerts_messages_total{RATE}))",
                    "{{channel}}: {{outcome}}",
                ),
            ),
            about="Tries to send one to a webhook or by mail; one that failed is tried again.",
            width=16,
            stacked=True,
        ),
        Panel(
            "Processes that send",
            (("sum(nrc_alerts_working)", "at work"), ("count(nrc_alerts_working)", "there")),
            about="One is at work, the others wait.",
        ),
    ),
    "Processes": (
        Panel(
            "Processor time",
            (
                (
                    f"rate(process_cpu_seconds_total{RATE}) and on (job, instance) nrc_process_info",
                    "{{instance}}",
                ),
            ),
            unit="percentunit",
            about="1 is one core.",
        ),
        Panel(
            "Memory",
            (("process_resident_memory_bytes and on (job, instance) nrc_process_info", "{{instance}}"),),
            unit="bytes",
        ),
        Panel("Connected to RabbitMQ", (("nrc_rabbitmq_connected", "{{instance}} {{connection}}"),)),
    ),
    "Abonnementen (from /metrics/abonnementen)": (
        Panel(
            "Most waiting",
            (
                (
                    "topk(20, max by (abonnement) (nrc_abonnement_waiting)) "
                    "* on (abonnement) group_left (client, state) "
                    "max by (abonnement, client, state) (nrc_abonnement_info)",
                    "",
                ),
            ),
            kind="table",
        ),
        Panel(
            "Oldest waiting",
            (
                (
                    "topk(20, max by (abonnement) (nrc_abonnement_oldest_seconds) > 0) "
                    "* on (abonnement) group_left (client, state) "
                    "max by (abonnement, client, state) (nrc_abonnement_info)",
                    "",
                ),
            ),
            unit="s",
            kind="table",
        ),
        Panel(
            "Most failures in the last hour",
            (
                (
                    "topk(20, sum by (abonnement) (increase(nrc_abonnement_failed_total[1h])) > 0) "
                    "* on (abonnement) group_left (client, state) "
                    "max by (abonnement, client, state) (nrc_abonnement_info)",
                    "",
                ),
            ),
            kind="table",
        ),
    ),
}


def dashboard() -> dict[str, Any]:
    """The whole of it, as Grafana reads it."""
    return {
        "uid": "nrc",
        "title": "NRC",
        "tags": ["nrc"],
        "schemaVersion": 41,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "panels": [{"id": number, **panel} for number, panel in enumerate(_panels(), 1)],
    }


def text() -> str:
    """The file's text."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


def _panels() -> Iterator[dict[str, Any]]:
    """Rows and panels, each in its place."""
    y = 0
    for title, panels in ROWS.items():
        yield {"type": "row", "title": title, "collapsed": False, "gridPos": _place(0, y, COLUMNS, 1)}
        x, y = 0, y + 1
        for panel in panels:
            if x + panel.width > COLUMNS:
                x, y = 0, y + panel.height
            yield _panel(panel) | {"gridPos": _place(x, y, panel.width, panel.height)}
            x += panel.width
        y += panels[-1].height


def _place(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel) -> dict[str, Any]:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "targets": [
            {
                "refId": "ABCDEFGH"[number],
                "datasource": SOURCE,
                "expr": query,
                "legendFormat": legend or "__auto",
                **({"format": "table", "instant": True, "range": False} if panel.kind == "table" else {}),
            }
            for number, (query, legend) in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        **_options(panel),
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "fillOpacity": 10,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none"},
        }
    if panel.bad is not None:
        first, then = ("red", "green") if panel.falls else ("green", "red")
        defaults["thresholds"] = {
            "mode": "absolute",
            "steps": [{"color": first, "value": None}, {"color": then, "value": panel.bad}],
        }
    return defaults


def _options(panel: Panel) -> dict[str, Any]:
    match panel.kind:
        case "stat":
            return {"options": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value"}}
        case "table":
            hidden = {"Time": True}
            order = [{"id": "organize", "options": {"excludeByName": hidden}}]
            return {"options": {"showHeader": True}, "transformations": order}
    return {
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    }


if __name__ == "__main__":
    FILE.write_text(text())
