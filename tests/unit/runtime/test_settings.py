"""The settings: their page, their faults, and the sources of their values."""

from __future__ import annotations

from pathlib import Path

import pytest

from nrc.cli.operating.settings import known_settings, page, shown
from runtime.settings import Settings, env_name, load_settings, origins
from schemas.errors import SettingsError
from tests.command import nrc

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def faults(**values: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as refused:
        load_settings(_env_file=None, **values)
    return refused.value.faults


def test_the_page_is_up_to_date(tmp_path: Path) -> None:
    assert PAGE.read_text() == page(), "run: nrc settings --markdown > docs/settings.md"
    assert nrc(tmp_path, "settings", "--markdown").out == page()


def test_the_page_names_every_setting_with_help() -> None:
    for known in known_settings():
        assert f"| `{env_name(known.field)}` |" in page()
        assert known.help.endswith("."), known.field
    assert len(known_settings()) == len(Settings.model_fields)


WRONG = {
    "amqp_ca_file": "/does/not/exist.pem",
    "amqp_url": "http://localhost",
    "amqp_direct": "perhaps",
    "amqp_direct_url": "https://rabbitmq.example.nl",
    "rabbitmq_management_url": "https://rabbitmq.example.nl:15671",
    "database_url": "mysql://localhost/nrc",
    "database_listen_url": "sqlite:///registry.db",
    "database_password_file": "/does/not/exist",
    "secret_keys": "c2hvcnQ=",
    "gateway_listen": "8000",
    "console_listen": "8010",
    "console_public_url": "nrc.example.com",
    "console_session": "59",
    "console_password_login": "perhaps",
    "console_oidc_issuer": "http://idp.example.nl",
    "console_oidc_client_secret_file": "/does/not/exist",
    "console_oidc_roles": "nrc-admin=baas",
    "console_oidc_scopes": "profile",
    "console_oidc_ca_file": "/does/not/exist.pem",
    "console_style": "/does/not/exist.css",
    "health_listen": "localhost:http",
    "metrics_listen": ":port",
    "inbox_listen": "8011",
    "traces": "on",
    "public_url": "nrc.example.com",
    "trusted_proxies": "10.0.0.0/8,proxy",
    "callback_check": "maybe",
    "documentation_link_check": "on",
    "callback_timeout": "0",
    "delivery_options": "perhaps",
    "callback_deny_networks": "10.0.0.1/8",
    "callback_allow_networks": "::ffff:10.0.0.0/104",
    "callback_allow_loopback": "perhaps",
    "callback_require_https": "perhaps",
    "callback_ca_file": "/",
    "callback_certificates": "perhaps",
    "retry_schedule": "5,0",
    "hold_retention": "0",
    "hold_budget": "-1",
    "ledger_bodies": "-1",
    "ledger_rows": "-1",
    "ledger_counts": "-1",
    "ledger_budget": "1000",
    "jwt_expiry": "-1",
    "time_leeway": "5s",
    "legacy_tokens": "perhaps",
    "ac_url": "https://ac.example.nl/api/v1?x=y",
    "ac_secret_file": "/does/not/exist",
    "ac_ca_file": "/does/not/exist.pem",
    "token_issuer": "uitgever",
    "cloudevents": "perhaps",
    "cloudevents_source": "een bron",
    "cloudevents_handshake": "sometimes",
    "cloudevents_window": "-1",
    "max_body": "10",
    "quota_kanalen": "0",
    "quota_abonnementen": "none",
    "max_hops": "-1",
    "attribute_filters": "perhaps",
    "pass_on_ids": "perhaps",
    "bulk_lane": "perhaps",
    "extra_rate": "0",
    "gateway_max_in_flight": "0",
    "gateway_max_connections": "9",
    "deliverer_concurrency": "0",
    "deliverer_prefetch": "many",
    "deliverer_memory": "1000",
    "gateway_processes": "0",
    "deliverer_processes": "65",
    "reconcile_interval": "0",
    "refresh_interval": "31",
    "stop_timeout": "-1",
    "log_format": "xml",
    "log_level": "loud",
}
ANY_TEXT = {
    "state_dir",
    "callback_check_exempt_hosts",
    "ac_client_id",
    "ac_secret",
    "console_oidc_client_id",
    "console_oidc_client_secret",
    "console_oidc_groups_claim",
    "console_oidc_name",
    "console_oidc_contact",
}


def test_every_wrong_setting_is_reported_at_once() -> None:
    told = faults(**WRONG)
    assert [fault.split(":")[0] for fault in told] == [env_name(field) for field in WRONG]
    assert WRONG.keys() | ANY_TEXT == Settings.model_fields.keys(), "a wrong value for each that can be wrong"


@pytest.mark.parametrize(
    "field, value",
    [
        ("amqp_url", "amqp://user:secret/part@host/"),
        ("amqp_url", "amqp://user:secret#part@host/"),
        ("secret_keys", "secret"),
        ("secret_keys", f"{'a' * 43}=,secret-in-hex"),
        ("secret_keys", f"{'a' * 43}=!"),
        ("secret_keys", "é" * 43),
        ("amqp_url", "amqp://host:99999/"),
        ("amqp_url", "amqp://[::1/"),
        ("amqp_url", "amqp://fine/,rabbit2"),
        ("public_url", "http://["),
        ("public_url", "http://[::1]@"),
        ("amqp_url", "amqp://[::1]@"),
        ("public_url", "http://x/?a=b"),
        ("gateway_listen", ""),
        ("gateway_listen", "host:65536"),
        ("gateway_listen", "host:-1"),
        ("trusted_proxies", "10.0.0.1/8"),
        ("retry_schedule", ",".join(["1"] * 51)),
        ("retry_schedule", "5,x"),
        ("retry_schedule", str(8 * 24 * 3600)),
    ],
)
def test_a_wrong_value_is_one_fault_that_does_not_repeat_it(field: str, value: str) -> None:
    (fault,) = faults(**{field: value})
    assert fault.startswith(f"{env_name(field)}: ")
    assert "secret" not in fault
    assert "\n" not in fault


@pytest.mark.parametrize(
    "field, text, value",
    [
        ("amqp_url", "amqp://a/v, amqps://u:p%2Fw@b:1,", ("amqp://a/v", "amqps://u:p%2Fw@b:1")),
        ("secret_keys", f"{'+/' * 21}A=, {'a' * 42}A=", (f"{'-_' * 21}A=", f"{'a' * 42}A=")),
        ("gateway_listen", "[::1]:80", ("::1", 80)),
        ("gateway_listen", ":80", ("0.0.0.0", 80)),
        ("health_listen", "", None),
        ("metrics_listen", "", None),
        ("inbox_listen", "", None),
        ("retry_schedule", "", ()),
        ("retry_schedule", " 1, 604800 ", (1, 604800)),
        ("public_url", "https://nrc.nl/pad/", "https://nrc.nl/pad"),
        ("public_url", "https://nrc.nl/pad/api/v1/", "https://nrc.nl/pad"),
        ("console_public_url", "https://nrc.nl/api/v1", "https://nrc.nl/api/v1"),
        ("callback_check_exempt_hosts", "", ()),
    ],
)
def test_values_as_one_writes_them(field: str, text: str, value: object) -> None:
    assert getattr(load_settings(_env_file=None, **{field: text}), field) == value


OPENID = {
    "console_public_url": "https://nrc.example.nl",
    "console_oidc_issuer": "https://idp.example.nl/realms/gemeente",
    "console_oidc_client_id": "nrc",
    "console_oidc_roles": "nrc-admin=admin, a=b = lezer",
}


@pytest.mark.parametrize(
    ("other", "name", "told"),
    [
        ({"console_public_url": ""}, "ISSUER", "needs NRC_CONSOLE_PUBLIC_URL"),
        ({"console_oidc_client_id": ""}, "CLIENT_ID", "must be set"),
        ({"console_oidc_roles": ""}, "ROLES", "nobody has a role"),
        ({"console_oidc_roles": "=admin"}, "ROLES", "group=role"),
        ({"console_oidc_roles": "nrc-admin"}, "ROLES", "group=role"),
        ({"console_oidc_issuer": "https://idp.example.nl/?a=b"}, "ISSUER", "without a query"),
        ({"console_oidc_issuer": "", "console_password_login": "false"}, "ISSUER", "nobody can log in"),
        (
            {"console_oidc_client_secret": "x", "console_oidc_client_secret_file": __file__},
            "",
            "one of the two",
        ),
    ],
)
def test_settings_of_openid_connect_that_do_not_fit_are_a_fault(
    other: dict[str, str], name: str, told: str
) -> None:
    load_settings(_env_file=None, **OPENID)
    load_settings(_env_file=None, **{**OPENID, "console_oidc_issuer": "http://127.0.0.1:9400/"})
    (fault,) = faults(**{**OPENID, **other})
    assert fault.startswith(f"NRC_CONSOLE_OIDC_{name}")
    assert told in fault


AC = {"ac_url": "http://openzaak:8000/autorisaties/api/v1/", "ac_client_id": "nrc", "ac_secret": "x"}


@pytest.mark.parametrize(
    ("other", "name", "told"),
    [
        ({"ac_client_id": ""}, "AC_CLIENT_ID", "must be set"),
        ({"ac_secret": ""}, "AC_SECRET_FILE", "one of the two"),
        ({"ac_secret_file": __file__}, "AC_SECRET_FILE", "one of the two"),
        ({"ac_url": "ac.example.nl/api/v1"}, "AC_URL", "before /applicaties"),
        ({"ac_url": "https://a:b@ac.example.nl/api/v1"}, "AC_URL", "before /applicaties"),
    ],
)
def test_settings_of_the_autorisaties_api_that_do_not_fit_are_a_fault(
    other: dict[str, str], name: str, told: str
) -> None:
    assert load_settings(_env_file=None, **AC).ac_url == "http://openzaak:8000/autorisaties/api/v1"
    found = faults(**{**AC, **other})
    assert any(fault.startswith(f"NRC_{name}: ") and told in fault for fault in found), found


def test_the_secret_at_the_autorisaties_api_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("geheim\n")
    in_file = load_settings(_env_file=None, **{**AC, "ac_secret": "", "ac_secret_file": str(file)})
    assert in_file.ac_client_secret == "geheim"
    hidden = load_settings(_env_file=None, **{**AC, "ac_secret": "verborgen"})
    assert hidden.ac_client_secret == "verborgen"
    assert "verborgen" not in repr(hidden)


def test_the_client_secret_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("a secret\n")
    assert (
        load_settings(_env_file=None, console_oidc_client_secret_file=file).oidc_client_secret == "a secret"
    )
    assert load_settings(_env_file=None, console_oidc_client_secret="b").oidc_client_secret == "b"
    assert "hidden" not in repr(load_settings(_env_file=None, console_oidc_client_secret="hidden"))


def test_a_file_without_certificates_is_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("none here")
    assert faults(amqp_ca_file=str(file), callback_ca_file=str(file)) == (
        f"NRC_AMQP_CA_FILE: {file} holds no certificates (PEM)",
        f"NRC_CALLBACK_CA_FILE: {file} holds no certificates (PEM)",
    )


@pytest.mark.parametrize("field", Settings.model_fields)
def test_a_shown_value_can_be_set_again(field: str) -> None:
    settings = load_settings(_env_file=None, trusted_proxies="10.0.0.0/8,::1", gateway_listen="[::1]:80")
    value = getattr(settings, field)
    assert getattr(load_settings(_env_file=None, **{field: shown(value)}), field) == value


def test_where_a_value_came_from(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("NRC_JWT_EXPIRY=99\nNRC_MAX_BODY=4096\nNRC_TYPO=1\n")
    ran = nrc(tmp_path, "settings", "--json", env={"NRC_MAX_BODY": "2048", "NRC_GATEWAY_LISTN": "x"})
    found = {row["name"]: row for row in ran.json()}
    assert list(found) == [env_name(field) for field in Settings.model_fields]
    assert (found["NRC_JWT_EXPIRY"]["value"], found["NRC_JWT_EXPIRY"]["origin"]) == ("99", ".env")
    assert (found["NRC_MAX_BODY"]["value"], found["NRC_MAX_BODY"]["origin"]) == ("2048", "environment")
    assert found["NRC_TIME_LEEWAY"] == {
        "name": "NRC_TIME_LEEWAY",
        "value": "5",
        "origin": "default",
        "default": "5",
        "unit": "s",
        "help": Settings.model_fields["time_leeway"].description,
    }
    assert ran.err.splitlines() == [
        "NRC_GATEWAY_LISTN is no setting, and ignored; NRC_GATEWAY_LISTEN?",
        "NRC_TYPO is no setting, and ignored",
    ]


@pytest.mark.parametrize("password", ["a${HOME}b", "$HOME", "${NRC_JWT_EXPIRY:-x}", "$$", "a$"])
def test_a_dollar_in_the_file_is_a_dollar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    """The file is no shell: what looks like a variable may be a part of a password."""
    url = f"amqp://nrc:{password}@one/v"
    for quote in ("", "'", '"'):
        (tmp_path / ".env").write_text(f"NRC_JWT_EXPIRY=99\nNRC_AMQP_URL={quote}{url}{quote}\n")
        monkeypatch.chdir(tmp_path)
        assert load_settings().amqp_url == (url,)
        assert origins()["amqp_url"] == ".env"


@pytest.mark.parametrize(
    "line", ["NRC_MAX_BODY 4096", "NRC_MAX_BODY: 4096", "no setting hush", "NRC_X='hush"]
)
def test_a_line_of_the_file_that_sets_nothing_is_a_fault(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"# a remark\nNRC_JWT_EXPIRY=many\n\n\n{line}\n")
    ran = nrc(tmp_path, "settings")
    assert (ran.code, ran.out) == (2, "")
    faults = [fault.partition(": ")[2].partition(": ") for fault in ran.err.splitlines()]
    assert faults[0] == (".env", ": ", "line 5 is not NAME=value")
    assert [name for name, *_ in faults[1:]] == ["NRC_JWT_EXPIRY"]


def test_the_mark_that_windows_puts_before_the_file_is_no_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("NRC_JWT_EXPIRY=99\r\n", encoding="utf-8-sig")
    monkeypatch.chdir(tmp_path)
    assert load_settings().jwt_expiry == 99


def test_others_variables_are_left_out_of_it(tmp_path: Path) -> None:
    kubernetes = {"NRC_PORT": "tcp://10.0.0.1:80", "NRC_SERVICE_HOST": "10.0.0.1", "NRC_UP_FD": "5"}
    assert nrc(tmp_path, "settings", env=kubernetes).err == ""


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_passwords_are_masked(tmp_path: Path, form: list[str]) -> None:
    url = "amqp://nrc:hidden%2Fpw@one:5672/v,amqps://nrc:hidden%2Fpw@two/"
    ran = nrc(tmp_path, "settings", *form, env={"NRC_AMQP_URL": url})
    assert "amqp://nrc:***@one:5672/v,amqps://nrc:***@two/" in ran.out
    assert "hidden" not in ran.out + ran.err


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_keys_are_masked(tmp_path: Path, form: list[str]) -> None:
    keys = [f"{'a' * 42}A=", f"{'b' * 42}A="]
    ran = nrc(tmp_path, "settings", *form, env={"NRC_SECRET_KEYS": ",".join(keys)})
    assert "***,***" in ran.out
    assert not any(key in ran.out + ran.err for key in keys)
    assert keys[0] not in repr(load_settings(_env_file=None, secret_keys=",".join(keys)))


def test_settings_for_a_terminal_and_for_a_file(tmp_path: Path) -> None:
    out = nrc(tmp_path, "settings").out
    assert len(out.splitlines()) == len(Settings.model_fields) + 1
    assert "\x1b" not in out
