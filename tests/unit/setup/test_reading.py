"""A setup file is read: what it means, and every fault of it with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nrc.setup.checking import Checked, checked
from nrc.setup.faults import Faults
from nrc.setup.reading import read

SECRET = "a secret that nobody may see"


def load(text: str, *, folder: Path | None = None, **environment: str) -> Checked:
    return checked("s.yaml", read(text, environment=environment, folder=folder or Path()))


def value(text: str, *, folder: Path | None = None, **environment: str) -> Any:
    return read(text, environment=environment, folder=folder or Path()).value


def faults(text: str, *, folder: Path | None = None, **environment: str) -> list[str]:
    with pytest.raises(Faults) as raised:
        load(text, folder=folder, **environment)
    return str(raised.value).splitlines()


def test_every_fault_is_told_at_once_with_its_line() -> None:
    text = """\
kanalen:
  - naam: zaken
    filtres: [zaaktype]
  - filters: zaaktype
abonnementen:
  - name: a
    uuid: nothing
    clientId: zac
    callbackUrl: example.nl
    kanalen:
      - naam: zaken
        filters: {zaaktype: a, Zaak_type: b}
  - name: b
    clientId: zac
    type: pulled
    kanalen: []
users:
  - {name: jan, role: chef}
alerts:
  rules:
    held: {after: 5x}
    hold: {enabled: true}
  pauze: 1h
"""
    assert faults(text) == [
        "s.yaml:3: kanalen.0.filtres: this name is unknown here; is filters meant?",
        "s.yaml:4: kanalen.1.naam: this is required",
        "s.yaml:4: kanalen.1.filters: a list stands here",
        "s.yaml:7: abonnementen.0.uuid: this is no UUID",
        "s.yaml:9: abonnementen.0.callbackUrl: Voer een volledige http- of https-URL in, met een host.",
        "s.yaml:12: abonnementen.0.kanalen.0.filters.Zaak_type: Deze naam komt al voor (hoofdletters en _ "
        "tellen niet mee).",
        "s.yaml:15: abonnementen.1.type: one of 'push', 'pull' or 'amqp' stands here",
        "s.yaml:18: users.0.role: one of 'lezer', 'beheerder' or 'admin' stands here",
        "s.yaml:21: alerts.rules.held.after: '5x' is no duration such as 45s, 30m, 24h or 7d.",
        "s.yaml:22: alerts.rules.hold: one of 'held', 'suspended', 'waits-long', 'undeliverable', 'lost', "
        "'gap', 'ledger', 'parts', 'disk', 'certificate' or 'client-certificate' stands here",
        "s.yaml:23: alerts.pauze: this name is unknown here; is pause meant?",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "s.yaml: there is nothing in this file"),
        ("kanalen: [", "s.yaml:1: this is no YAML: while parsing a flow node expected the node content"),
        ("a: 1\n b: 2", "s.yaml:2: this is no YAML: mapping values are not allowed here"),
        ("- kanalen", "s.yaml:1: names and their values stand here"),
        ("kanalen: []\nkanalen: []", "s.yaml:2: kanalen: this name stands here twice"),
        ("kanalen: []\n---\nkanalen: []", "s.yaml:2: this is no YAML: expected a single document"),
        (
            "kanalen: !!binary aa",
            "s.yaml:1: kanalen: the tag tag:yaml.org,2002:binary means nothing here",
        ),
        ("kanalen: !!python/name:os.system", "s.yaml:1: kanalen: the tag tag:yaml.org,2002:python/name"),
        ("kanalen: \x01", "s.yaml: this is no YAML: unacceptable character"),
        ("kanalen:\n- &a [*a]", "s.yaml: this is nested too deeply"),
        ("[" * 3000 + "]" * 3000, "s.yaml: this is nested too deeply"),
        (
            "kanalen:\n- naam: a\n- naam: a",
            "s.yaml:3: kanalen.1: this stands in the file already, at line 2",
        ),
        (
            "applications: [{clientId: a, scopes: [x]}]",
            "s.yaml:1: applications.0.scopes.0: this is no scope; there are publiceren and consumeren",
        ),
        (
            "applications: [{clientId: a, scopes: [publiceren], scopesFromToken: true}]",
            "s.yaml:1: applications.0: scopes, scopesFromToken and scopesFromAc: give one of them",
        ),
        (
            "abonnementen: [{clientId: a, callbackUrl: http://a, kanalen: []}]",
            "s.yaml:1: abonnementen.0: give it a name, or its uuid, by which it is recognised again",
        ),
        (
            "abonnementen: [{name: a, clientId: a, kanalen: []}]",
            "s.yaml:1: abonnementen.0: callbackUrl is required, or `type: pull`",
        ),
        (
            "abonnementen: [{name: a, clientId: a, type: pull, auth: b, kanalen: []}]",
            "s.yaml:1: abonnementen.0: one of type pull has neither callbackUrl nor auth",
        ),
        (
            "users: [{name: a b, role: lezer}]",
            "s.yaml:1: users.0.name: this is no name of a user: 1 to 64 of a-z",
        ),
    ],
)
def test_faults(text: str, told: str) -> None:
    (first, *_) = faults(text)
    assert first.startswith(told)


def test_a_few_lines_that_stand_for_too_much() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert faults("\n".join(lines)) == ["s.yaml: this has more than 200000 values, aliases included"]


def test_scalars_are_the_text_that_was_written() -> None:
    text = "[010, yes, 2026-01-31, 1.50, true, 0x1F, '', \"~\", on]"
    assert value(text) == ["010", "yes", "2026-01-31", "1.50", "true", "0x1F", "", "~", "on"]


def test_what_is_empty_is_left_out() -> None:
    """A section of which every item is commented out must not remove everything."""
    file = load("kanalen:\n#  - naam: zaken\nusers: []\n").file
    assert (file.kanalen, file.users) == (None, [])


def test_aliases_and_merges() -> None:
    text = """\
kanalen:
  - &a {naam: a, filters: [x]}
  - {<<: *a, naam: b}
  - {<<: *a, naam: c}
"""
    made = load(text).file.kanalen
    assert made is not None
    assert [(each.naam, each.filters) for each in made] == [("a", ["x"]), ("b", ["x"]), ("c", ["x"])]


def test_values_from_the_environment_and_from_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of a file\n")
    text = """\
env: {value_from: {env: GIVEN}}
file: {value_from: {file: secret}}
default: {value_from: {env: NONE, default: 5}}
none: {value_from: {env: NONE, required: false}}
list: [a, {value_from: {env: NONE, required: false}}, {value_from: {env: GIVEN}}]
"""
    assert value(text, folder=tmp_path, GIVEN="given") == {
        "env": "given",
        "file": "of a file",
        "default": "5",
        "list": ["a", "given"],
    }


def test_values_that_cannot_be_had(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "bytes").write_bytes(b"\xff")
    text = """\
applications:
  - clientId: {value_from: {env: NONE}}
    secret: {value_from: {env: EMPTY}}
  - clientId: a
    secret: {value_from: {file: nowhere}}
  - clientId: b
    secret: {value_from: {file: empty}}
  - clientId: c
    secret: {value_from: {file: bytes}}
  - clientId: d
    secret: {value_from: {}}
  - clientId: e
    secret: {value_from: {env: A, file: B}}
  - clientId: f
    secret: {value_from: {env: A}, more: 1}
  - clientId: g
    secret: {value_from: {env: BYTES}}
"""
    assert faults(text, folder=tmp_path, EMPTY="", BYTES="\udcff") == [
        "s.yaml:2: applications.0.clientId: there is no variable NONE",
        "s.yaml:3: applications.0.secret: there is no variable EMPTY",
        f"s.yaml:5: applications.1.secret: {tmp_path}/nowhere: No such file or directory",
        f"s.yaml:7: applications.2.secret: {tmp_path}/empty is empty",
        f"s.yaml:9: applications.3.secret: {tmp_path}/bytes is not UTF-8 text",
        "s.yaml:11: applications.4.secret.value_from: value_from has either env or file, and maybe required "
        "or default",
        "s.yaml:13: applications.5.secret.value_from: value_from has either env or file, and maybe required "
        "or default",
        "s.yaml:15: applications.6.secret: value_from stands alone, and has env or file",
        "s.yaml:17: applications.7.secret: the variable BYTES is not UTF-8 text",
    ]


def test_no_fault_tells_a_secret() -> None:
    text = f"""\
applications: [{{clientId: a, secret: [{SECRET}]}}, {{clientId: b, secret: {{{SECRET}: 1}}}}]
abonnementen: [{{name: a, clientId: a, callbackUrl: 'http://{SECRET}', auth: "{SECRET}\\n", kanalen: []}}]
users: [{{name: a, role: lezer, password: [{SECRET}]}}]
alerts: {{webhook: {{url: http://a, authorization: [{SECRET}]}}}}
"""
    told = faults(text)
    assert len(told) == 6
    assert SECRET not in "\n".join(told)


def test_the_name_of_an_abonnement_is_its_uuid() -> None:
    text = "abonnementen: [{name: %s, clientId: a, type: pull, kanalen: []}]"
    keys = []
    for name in ("zaken", "zaken", "Zaken"):
        (made,) = load(text % name).file.abonnementen or ()
        keys.append(str(made.key))
    # These stand in the registries of all who use this: they may never change.
    assert keys == [KEY, KEY, keys[2]]
    assert keys[2] != KEY


KEY = "b8751173-43f6-553c-856d-dbaf0dadec14"
