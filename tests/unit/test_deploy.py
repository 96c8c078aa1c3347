"""deploy/: the overlay fits docker-compose.yml, the rules are sound, and the dashboard is as it is made."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from telemetry.metrics.of_processes import MODULES
from tests.unit.test_docs import anchors
from tools.dashboard import COLUMNS, dashboard, text

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"


def read(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def rules() -> list[dict[str, Any]]:
    return [rule for group in read(RULES)["groups"] for rule in group["rules"]]


def test_the_dashboard_is_the_one_that_is_made() -> None:
    assert (DEPLOY / "grafana/dashboards/nrc.json").read_text() == text(), "run: python -m tools.dashboard"


def test_no_two_panels_stand_in_one_place() -> None:
    taken: Counter[tuple[int, int]] = Counter()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        taken.update(
            (place["x"] + right, place["y"] + down)
            for right in range(place["w"])
            for down in range(place["h"])
        )
    assert set(taken.values()) == {1}


def test_each_rule_says_how_bad_it_is_and_where_to_read_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
        assert rule["annotations"]["summary"].endswith("."), rule["alert"]
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert anchor in anchors(ROOT / page), rule["alert"]


def test_the_page_tells_of_every_rule_by_how_bad_it_is() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text().partition("\n## What to be woken for\n")[2]
    told = dict.fromkeys(("page", "ticket"), "")
    for table in re.split(r"^\| `severity: ", page.partition("\n## ")[0], flags=re.MULTILINE)[1:]:
        told[table.partition("`")[0]] = table
    for severity, table in told.items():
        named = set(re.findall(r"`(Nrc\w+)`", table))
        assert named == {rule["alert"] for rule in rules() if rule["labels"]["severity"] == severity}


def test_the_overlay_gives_every_process_that_has_metrics_an_address_and_prometheus_scrapes_them() -> None:
    base, overlay = read(ROOT / "docker-compose.yml"), read(DEPLOY / "docker-compose.metrics.yml")
    ours = set(MODULES) - {"inbox"}  # which only `nrc up` starts
    assert ours <= set(base["services"])
    assert set(overlay["services"]) == ours | {"prometheus", "grafana"}
    scraped = {job["job_name"]: job for job in read(DEPLOY / "prometheus/prometheus.yml")["scrape_configs"]}
    ports = set()
    for name in ours:
        listen = overlay["services"][name]["environment"]["NRC_METRICS_LISTEN"]
        ports.add(int(listen.rpartition(":")[2]))
    (found,) = scraped["nrc"]["dns_sd_configs"]
    assert set(found["names"]) == ours
    assert ports == {found["port"]} == {scraped["nrc-abonnementen"]["dns_sd_configs"][0]["port"]}


def test_what_the_overlay_mounts_is_there_and_found_where_it_is_mounted() -> None:
    services = read(DEPLOY / "docker-compose.metrics.yml")["services"]
    mounted = {}
    for name in ("prometheus", "grafana"):
        for volume in services[name]["volumes"]:
            source, target = volume.split(":")[:2]
            if source.startswith("."):
                assert (ROOT / source).is_dir(), source
                mounted[target] = ROOT / source
    (config,) = [each for each in services["prometheus"]["command"] if "config.file" in each]
    folder, _, file = config.partition("=")[2].rpartition("/")
    assert (mounted[folder] / file).is_file()
    assert all((mounted[folder] / each).is_file() for each in read(mounted[folder] / file)["rule_files"])
    provider = read(mounted["/etc/grafana/provisioning"] / "dashboards/nrc.yml")["providers"][0]
    assert list(mounted[provider["options"]["path"]].glob("*.json"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "alerts.yml"),
        ("check", "config", "--syntax-only", "prometheus.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_finds_nothing_wrong(arguments: tuple[str, ...]) -> None:
    promtool(*arguments, cwd=RULES.parent)


def test_promtool_can_read_every_query_of_the_dashboard(tmp_path: Path) -> None:
    queries = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]
    records = [
        {"record": f"query:{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(queries)
    ]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": records}]}))
    promtool("check", "rules", str(file), cwd=tmp_path)


def promtool(*arguments: str, cwd: Path) -> None:
    """Have it look, where it is at hand."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not here (Debian and Ubuntu: apt-get install prometheus)")
    done = subprocess.run([found, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
