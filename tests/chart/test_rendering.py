"""What Helm makes of the chart: golden renderings, valid objects, and values that are refused."""

from __future__ import annotations

import copy
import tomllib
from typing import Any

import pytest
import yaml

from runtime.settings import Settings, env_name
from tests.chart.helm import (
    CHART,
    ROOT,
    SETS,
    Object,
    Refused,
    as_golden,
    golden_file,
    lint,
    needs_helm,
    notes,
    rendered,
    values_of,
    with_values,
)
from tests.chart.validating import faults_of
from tools.chart import readme

pytestmark = needs_helm
LEAST = values_of("existing-secrets")


def one(objects: list[Object], kind: str, name: str) -> Object:
    (found,) = (each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name)
    return found


def container(objects: list[Object], component: str) -> Object:
    found: Object = one(objects, "Deployment", f"nrc-{component}")["spec"]["template"]["spec"]["containers"][
        0
    ]
    return found


def environment(of: Object) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in of["env"]}


@pytest.mark.parametrize("name", SETS)
def test_the_golden_renderings_are_current(name: str) -> None:
    assert golden_file(name).read_text() == as_golden(rendered(values_of(name))), "python -m tests.chart"


@pytest.mark.parametrize("name", SETS)
def test_kubernetes_and_the_operators_know_every_field(name: str) -> None:
    faults = {
        f"{each['kind']} {each['metadata']['name']}": found
        for each in rendered(values_of(name))
        if (found := faults_of(each))
    }
    assert not faults


@pytest.mark.parametrize("kind", ["Deployment", "NetworkPolicy", "Job", "PodMonitor", "ScaledObject"])
def test_a_field_that_nobody_knows_is_found(kind: str) -> None:
    each = next(each for each in rendered(values_of("everything")) if each["kind"] == kind)
    wrong = copy.deepcopy(each)
    wrong["spec"]["repliccas"] = 2
    assert not faults_of(each)
    assert faults_of(wrong)


@pytest.mark.parametrize("name", [*SETS, None])
def test_helm_lint_finds_nothing(name: str | None) -> None:
    assert lint(values_of(name) if name else {}) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"database": {}}, "Where is PostgreSQL"),
        ({"database__url": "postgresql://db/nrc"}, "both set"),
        ({"database": {"url": "sqlite:////var/lib/nrc/registry.db"}}, "/database/url"),
        ({"rabbitmq": {}}, "Where is RabbitMQ"),
        ({"rabbitmq__url": "amqp://rabbitmq/"}, "rabbitmq.url and rabbitmq.existingSecret are all set"),
        ({"rabbitmq__cluster__enabled": True}, "all set"),
        ({"rabbitmq": {"url": "http://rabbitmq:15672"}}, "/rabbitmq/url"),
        ({"rabbitmq": {"topology": {"enabled": True}}}, "Which RabbitmqCluster"),
        ({"rabbitmq": {"cluster": {"enabled": True, "replicas": 2}}}, "/rabbitmq/cluster/replicas"),
        ({"secretKeys": {}}, "Which key"),
        ({"secretKeys": {"value": "secret"}}, "/secretKeys/value"),
        ({"settings__NRC_AMQP_URL": "amqp://rabbitmq/"}, "NRC_AMQP_URL"),
        ({"settings__CALLBACK_TIMEOUT": 5}, "CALLBACK_TIMEOUT"),
        ({"settings__NRC_MAX_BODY": [1]}, "/settings/NRC_MAX_BODY"),
        ({"deliverer__settings__NRC_STOP_TIMEOUT": 1}, "NRC_STOP_TIMEOUT"),
        ({"gateway__replicas": 0}, "/gateway/replicas"),
        ({"gateway__replica": 3}, "replica"),
        ({"gatway": {"replicas": 3}}, "gatway"),
        ({"gateway__ingress__enabled": True}, "gateway.ingress.host"),
        ({"gateway__ingress": {"enabled": True, "host": "https://nrc.example.nl"}}, "/gateway/ingress/host"),
        ({"console__oidc": {"existingSecret": "nrc-oidc"}}, "console.oidc is of which provider"),
        ({"console__settings__NRC_CONSOLE_OIDC_CLIENT_SECRET": "s"}, "NRC_CONSOLE_OIDC_CLIENT_SECRET"),
        ({"autorisaties": {"url": "https://ac.example.nl/api/v1"}}, "autorisaties.url needs"),
        ({"autorisaties": {"clientId": "nrc"}}, "of which Autorisaties API"),
        ({"autorisaties": {"url": "ac.example.nl/api/v1"}}, "/autorisaties/url"),
        ({"settings__NRC_AC_URL": "https://ac.example.nl/api/v1"}, "NRC_AC_URL"),
        ({"setup": {"enabled": True}}, "needs setup.file or setup.existingConfigMap"),
        ({"setup": {"enabled": True, "file": "a: b", "existingConfigMap": "c"}}, "both set"),
        ({"setup__options": ["other.yaml"]}, "/setup/options/0"),
        ({"image__digest": "sha256:abc"}, "/image/digest"),
        ({"metrics__enabled": False, "metrics__monitor": {"enabled": True}}, "needs metrics.enabled"),
        ({"metrics__enabled": False, "deliverer__autoscaling": {"enabled": True}}, "needs metrics.enabled"),
        ({"deliverer__autoscaling": {"enabled": True, "kind": "vpa"}}, "/deliverer/autoscaling/kind"),
        ({"callbackTimeout": 0}, "/callbackTimeout"),
        ({"callbackCertificates": "no"}, "/callbackCertificates"),
        ({"publicUrl": "nrc.example.nl"}, "/publicUrl"),
        ({"ports__gateway": "8000"}, "/ports/gateway"),
        ({"topologySpread__whenUnsatisfiable": "Never"}, "/topologySpread/whenUnsatisfiable"),
    ],
)
def test_wrong_values_are_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused) as refused:
        rendered(with_values(LEAST, **changed))
    # Helm 3 writes the place with dots.
    assert said in str(refused.value) or said.strip("/").replace("/", ".") in str(refused.value)


def test_every_setting_that_the_chart_sets_exists() -> None:
    known = {env_name(field) for field in Settings.model_fields}
    for name in SETS:
        for each in rendered(values_of(name)):
            if each["kind"] in ("Deployment", "Job"):
                of = each["spec"]["template"]["spec"]["containers"][0]
                assert {key for key in environment(of) if key.startswith("NRC_")} <= known


def test_only_the_console_has_what_is_secret_of_its_openid_provider() -> None:
    objects = rendered(values_of("everything"))
    for each in objects:
        if each["kind"] not in ("Deployment", "Job"):
            continue
        pod = each["spec"]["template"]["spec"]
        (of,) = pod["containers"]
        variables, mounts = environment(of), {mount["name"] for mount in of["volumeMounts"]}
        if each["metadata"]["name"] == "nrc-router-console":
            secret = {"secretKeyRef": {"name": "nrc-oidc", "key": "client-secret"}}
            assert variables["NRC_CONSOLE_OIDC_CLIENT_SECRET"] == secret
            assert variables["NRC_CONSOLE_OIDC_CA_FILE"] == "/etc/nrc/oidc/ca.crt"
            assert {"name": "oidc-ca", "secret": {"secretName": "idp-ca"}} in pod["volumes"]
            assert "oidc-ca" in mounts
        else:
            assert not [name for name in variables if "OIDC" in name]
            assert "oidc-ca" not in {volume["name"] for volume in pod["volumes"]} | mounts


def test_gateways_and_the_console_alone_ask_the_autorisaties_api() -> None:
    objects = rendered(values_of("everything"))
    pods = [each for each in objects if each["kind"] in ("Deployment", "Job")]
    mine = {"nrc-router-gateway", "nrc-router-console"}
    for each in pods:
        (of,) = each["spec"]["template"]["spec"]["containers"]
        variables, name = environment(of), each["metadata"]["name"]
        mounts = {mount["name"]: mount["mountPath"] for mount in of["volumeMounts"]}
        if name in mine:
            assert variables["NRC_AC_URL"] == "https://openzaak.example.nl/autorisaties/api/v1"
            assert variables["NRC_AC_CLIENT_ID"] == "nrc"
            assert variables["NRC_AC_SECRET"] == {
                "secretKeyRef": {"name": "nrc-autorisaties", "key": "ac-secret"}
            }
            assert variables["NRC_AC_CA_FILE"] == f"{mounts['autorisaties-ca']}/ca.crt"
        else:
            assert not any(key.startswith("NRC_AC_") for key in variables)
            assert "autorisaties-ca" not in mounts
        assert variables.get("NRC_TOKEN_ISSUER") == ("tokens" if name == "nrc-router-gateway" else None)
    for each in objects:
        if each["kind"] == "NetworkPolicy":
            ports = {port["port"] for rule in each["spec"]["egress"] for port in rule.get("ports", [])}
            assert (9443 in ports) == (each["metadata"]["name"] in mine)


def test_a_large_number_stays_a_number() -> None:
    of = container(rendered(with_values(LEAST, settings__NRC_LEDGER_BUDGET=107374182400)), "ledger")
    assert environment(of)["NRC_LEDGER_BUDGET"] == "107374182400"
    of = container(rendered(with_values(LEAST, ledger__settings__NRC_REFRESH_INTERVAL=2.5)), "ledger")
    assert environment(of)["NRC_REFRESH_INTERVAL"] == "2.5"


@pytest.mark.parametrize(("timeout", "stop", "grace"), [(10, 15, 30), (2.5, 8, 16), (60, 65, 130)])
def test_a_deliverer_may_finish_its_callbacks_before_it_is_killed(
    timeout: float, stop: int, grace: int
) -> None:
    objects = rendered(with_values(LEAST, callbackTimeout=timeout))
    assert environment(container(objects, "deliverer"))["NRC_STOP_TIMEOUT"] == str(stop)
    pod = one(objects, "Deployment", "nrc-deliverer")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == grace > stop + timeout


def test_certificates_of_callbacks_are_switched_off_for_every_process() -> None:
    setup = {"setup__enabled": True, "setup__file": "kanalen: []"}
    for allowed in (True, False):
        objects = rendered(with_values(LEAST, callbackCertificates=allowed, **setup))
        pods = [each for each in objects if each["kind"] in ("Deployment", "Job")]
        told = {
            each["metadata"]["name"]: environment(each["spec"]["template"]["spec"]["containers"][0]).get(
                "NRC_CALLBACK_CERTIFICATES"
            )
            for each in pods
        }
        assert {name for name, value in told.items() if value is None} == (
            set(told) if allowed else {name for name in told if name.endswith("-migrate")}
        )
        assert set(told.values()) <= {None, "false"}


@pytest.mark.parametrize("name", SETS)
def test_no_process_is_killed_before_it_ends_itself(name: str) -> None:
    from nrc.processes import LAST_RESORT

    for each in rendered(values_of(name)):
        if each["kind"] == "Deployment":
            pod = each["spec"]["template"]["spec"]
            (of,) = pod["containers"]
            waits = int(of.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [0])[-1])
            stop = float(environment(of)["NRC_STOP_TIMEOUT"])
            assert pod["terminationGracePeriodSeconds"] > waits + stop + LAST_RESORT


@pytest.mark.parametrize("name", SETS)
def test_every_pod_is_without_rights(name: str) -> None:
    for each in rendered(values_of(name)):
        if each["kind"] not in ("Deployment", "Job"):
            continue
        pod = each["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (of,) = pod["containers"]
        assert of["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        writable = {mount["name"] for mount in of["volumeMounts"] if not mount.get("readOnly")}
        assert writable == {volume["name"] for volume in pod["volumes"] if "emptyDir" in volume}
        assert {"memory"} <= of["resources"]["limits"].keys() and of["resources"]["requests"]


def test_openshift_may_choose_the_user() -> None:
    objects = rendered(
        with_values(LEAST, podSecurityContext={"runAsUser": None, "runAsGroup": None, "fsGroup": None})
    )
    pod = one(objects, "Deployment", "nrc-gateway")["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


@pytest.mark.parametrize("name", SETS)
def test_everything_finds_its_pods_and_nothing_else(name: str) -> None:
    objects = rendered(values_of(name))
    pods = [
        each["spec"]["template"]["metadata"]["labels"]
        for each in objects
        if each["kind"] in ("Deployment", "Job")
    ]

    def found(wanted: dict[str, str]) -> set[str]:
        return {labels["app.kubernetes.io/component"] for labels in pods if wanted.items() <= labels.items()}

    for each in objects:
        component = each["metadata"]["labels"].get("app.kubernetes.io/component")
        if each["kind"] in ("Deployment", "PodDisruptionBudget"):
            assert found(each["spec"]["selector"]["matchLabels"]) == {component}
        elif each["kind"] == "NetworkPolicy":
            assert found(each["spec"]["podSelector"]["matchLabels"]) == {component}
        elif each["kind"] == "Service" and component != "metrics":
            assert found(each["spec"]["selector"]) == {component}
            of = container_of(objects, each["metadata"]["name"])
            assert each["spec"]["ports"][0]["targetPort"] in {port["name"] for port in of["ports"]}
        elif each["kind"] == "Deployment":
            for spread in each["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
                assert found(spread["labelSelector"]["matchLabels"]) == {component}


def container_of(objects: list[Object], deployment: str) -> Object:
    found: Object = one(objects, "Deployment", deployment)["spec"]["template"]["spec"]["containers"][0]
    return found


def test_two_releases_in_one_namespace_share_nothing() -> None:
    first, second = (
        {(each["kind"], each["metadata"]["name"]) for each in rendered(LEAST, release=release)}
        for release in ("nrc", "acceptatie")
    )
    assert not first & second


def test_a_drain_of_nodes_takes_one_pod_at_a_time_where_there_are_several() -> None:
    objects = rendered(LEAST)
    several = {
        each["metadata"]["name"]
        for each in objects
        if each["kind"] == "Deployment" and each["spec"]["replicas"] > 1
    }
    assert several == {"nrc-gateway", "nrc-router", "nrc-deliverer", "nrc-ledger", "nrc-alerts"}
    budgets = {
        each["metadata"]["name"]: each["spec"] for each in objects if each["kind"] == "PodDisruptionBudget"
    }
    assert budgets.keys() == several
    assert all(spec["maxUnavailable"] == 1 for spec in budgets.values())


def test_only_who_calls_callbacks_may_reach_them() -> None:
    def reaches(policy: Object) -> bool:
        return any("ipBlock" in peer for rule in policy["spec"]["egress"] for peer in rule.get("to", []))

    policies = {each["metadata"]["name"]: each for each in rendered(LEAST) if each["kind"] == "NetworkPolicy"}
    assert {name for name, policy in policies.items() if reaches(policy)} == {
        "nrc-gateway",
        "nrc-deliverer",
        "nrc-alerts",
    }
    for policy in policies.values():
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        ports = {port["port"] for rule in policy["spec"]["egress"] for port in rule.get("ports", [])}
        assert {53, 5432} <= ports
    assert policies["nrc-migrate"]["spec"]["ingress"] == []
    (callbacks,) = (
        rule
        for rule in policies["nrc-deliverer"]["spec"]["egress"]
        if any("ipBlock" in peer for peer in rule.get("to", []))
    )
    assert "169.254.0.0/16" in callbacks["to"][0]["ipBlock"]["except"]
    assert {"namespaceSelector": {}} in callbacks["to"]


def test_the_rules_are_those_of_deploy() -> None:
    objects = rendered(values_of("everything"))
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
    assert one(objects, "PrometheusRule", "nrc-router")["spec"] == rules


def test_the_dashboard_is_that_of_deploy() -> None:
    made = one(rendered(with_values(LEAST, metrics__dashboard__enabled=True)), "ConfigMap", "nrc-dashboard")
    assert made["data"]["nrc.json"].strip() == (
        (ROOT / "deploy" / "grafana" / "dashboards" / "nrc.json").read_text().strip()
    )


@pytest.mark.parametrize("kind", ["keda", "hpa"])
def test_what_is_held_scales_nothing(kind: str) -> None:
    values = with_values(LEAST, deliverer__autoscaling={"enabled": True, "kind": kind})
    objects = rendered(values)
    assert "replicas" not in one(objects, "Deployment", "nrc-deliverer")["spec"]
    if kind == "keda":
        (trigger,) = one(objects, "ScaledObject", "nrc-deliverer")["spec"]["triggers"]
        assert trigger["metadata"]["query"] == 'max(nrc_waiting{state="active",namespace="zaken"})'
    else:
        (metric,) = one(objects, "HorizontalPodAutoscaler", "nrc-deliverer")["spec"]["metrics"]
        assert metric["external"]["metric"] == {"name": "nrc_waiting_deliverable"}


def test_nothing_secret_stands_outside_a_secret() -> None:
    values = values_of("inline")
    text = as_golden([each for each in rendered(values) if each["kind"] != "Secret"])
    assert "only-for-a-try" not in text
    assert values["secretKeys"]["value"] not in text


@pytest.mark.parametrize("name", SETS)
def test_secrets_and_hooks_are_there_before_what_uses_them(name: str) -> None:
    objects = rendered(values_of(name))
    made = {each["metadata"]["name"]: each for each in objects if each["kind"] == "Secret"}
    for each in objects:
        if each["kind"] not in ("Deployment", "Job"):
            continue
        hook = each["metadata"].get("annotations", {}).get("helm.sh/hook")
        for variable in each["spec"]["template"]["spec"]["containers"][0]["env"]:
            wanted = variable.get("valueFrom", {}).get("secretKeyRef")
            if wanted and wanted["name"] in made:
                secret = made[wanted["name"]]
                assert wanted["key"] in secret["data"]
                # What a hook before all else uses must be a hook too: everything else is made after it.
                first = hook if hook and hook.startswith("pre-") else None
                assert secret["metadata"].get("annotations", {}).get("helm.sh/hook") == first
        if hook and hook.startswith("pre-"):
            assert each["spec"]["template"]["spec"]["serviceAccountName"] == "default"


def test_rights_and_policy_in_rabbitmq_are_those_of_the_operators_page() -> None:
    from nrc.rabbitmq.shield_policy import SET_POLICY

    page = (ROOT / "docs" / "operations.md").read_text()
    objects = rendered(values_of("another-cluster"))
    rights = one(objects, "Permission", "nrc")["spec"]["permissions"]
    command = f"set_permissions -p / USER '{rights['configure']}' '{rights['write']}' '{rights['read']}'"
    assert command in page
    policy = one(objects, "Policy", "nrc-shield")["spec"]
    assert [policy["name"], policy["pattern"], str(policy["priority"]), policy["applyTo"]] == [
        SET_POLICY[5],
        SET_POLICY[6],
        SET_POLICY[2],
        SET_POLICY[4],
    ]
    assert yaml.safe_load(SET_POLICY[7]) == policy["definition"]
    assert "tags" not in one(objects, "User", "nrc")["spec"]


@pytest.mark.parametrize("name", SETS)
def test_the_notes_name_what_there_is(name: str) -> None:
    values = values_of(name)
    said = notes(values)
    there = {
        each["metadata"]["name"] for each in rendered(values) if each["kind"] in ("Deployment", "Service")
    }
    for word in said.replace("deploy/", " deploy/").replace("svc/", " svc/").split():
        if word.startswith(("deploy/", "svc/")):
            assert word.partition("/")[2] in there
    assert ("first user" in said) == values.get("console", {}).get("enabled", True)


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["appVersion"] == project["version"]
    assert project["license"] in chart["annotations"]["licenses"]


def test_the_readme_has_every_value() -> None:
    assert (CHART / "README.md").read_text() == readme(), "run `make docs`"
