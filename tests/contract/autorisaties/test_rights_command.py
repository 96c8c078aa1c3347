"""`nrc application rights` and `scopes-from`, beside gateways and an Autorisaties API."""

from __future__ import annotations

from tests.autorisaties.server import OURS, SECRET
from tests.command import Ran, nrc_process
from tests.contract.autorisaties.conftest import PUBLICEREN, Rights
from tests.eventually import eventually


async def nrc(rights: Rights, *arguments: str, **env: str) -> Ran:
    """A command with the registry of the gateways, and their AC."""
    given = {
        "NRC_AMQP_URL": rights.stage.settings.amqp_url[0],
        "NRC_AC_URL": rights.ac.root + "/",
        "NRC_AC_CLIENT_ID": OURS,
        "NRC_AC_SECRET": SECRET,
        **env,
    }
    return await nrc_process(rights.stage.settings.state_dir, *arguments, env=given)


async def test_an_application_goes_to_the_ac_and_back(rights: Rights) -> None:
    client_id = await rights.client(label="zac-")
    secret = client_id[::-1]
    back = await nrc(rights, "application", "scopes-from", client_id, "here", "--scope", "publiceren")
    assert (back.code, back.out) == (0, f"{client_id}: notificaties.publiceren\n")
    assert (await rights.publish(client_id)).status == 201
    refused = await nrc(rights, "application", "scopes-from", client_id, "ac", "--scope", "publiceren")
    assert refused.code == 2
    there = await nrc(rights, "application", "scopes-from", client_id, "ac", NRC_AC_URL="")
    assert (there.code, there.out) == (0, f"{client_id}: from the Autorisaties API\n")
    assert "until NRC_AC_URL is set" in there.err

    async def is_refused() -> bool:
        """The gateway hears of what was taken away a moment after the command."""
        return (await rights.publish(client_id)).outcome == (403, "permission_denied")

    await eventually(is_refused, within=60)
    granted = await nrc(rights, "application", "grant", client_id, "publiceren")
    assert granted.code == 2
    assert "from the Autorisaties API" in granted.err
    shown = await nrc(rights, "application", "show", client_id)
    assert "scopes:       from the Autorisaties API" in shown.out
    kept = (await rights.stage.registry.changes_since(0)).applications
    assert [each.secret for each in kept if each.client_id == client_id] == [secret]


async def test_what_the_ac_says_is_shown(rights: Rights) -> None:
    client_id = await rights.client(label="zac-")
    applicatie = rights.ac.put(client_id, scopes=[PUBLICEREN])
    shown = await nrc(rights, "application", "rights", client_id)
    assert shown.code == 0
    assert applicatie.url(rights.ac.root) in shown.out
    assert "scopes:            notificaties.publiceren\n" in shown.out
    assert "here:              takes its scopes from the Autorisaties API\n" in shown.out
    told = (await nrc(rights, "application", "rights", client_id, "--json")).json()
    assert (told["outcome"], told["scopes"], told["scopesFromAc"]) == ("found", [PUBLICEREN], True)
    own = await nrc(rights, "application", "rights")
    assert (own.code, f"{OURS} (our own client)" in own.out) == (0, True)
    nobody = await nrc(rights, "application", "rights", "nobody")
    assert "knows no applicatie" in nobody.out
    assert "here:              not registered" in nobody.out
    assert "whatever the Autorisaties API says" in (await nrc(rights, "application", "rights", "bron")).out


async def test_why_the_ac_says_nothing_is_shown(rights: Rights) -> None:
    wrong = await nrc(rights, "application", "rights", NRC_AC_SECRET="anders")
    assert (wrong.code, "refused: status 403 invalid-jwt-signature" in wrong.out) == (1, True)
    away = await nrc(rights, "application", "rights", "--json", NRC_AC_URL="http://127.0.0.1:9/api/v1")
    assert (away.code, away.json()["outcome"]) == (1, "away")
    unset = await nrc(rights, "application", "rights", NRC_AC_URL="")
    assert (unset.code, "NRC_AC_URL is not set" in unset.err) == (2, True)
    unnamed = await nrc(rights, "application", "rights", NRC_AC_CLIENT_ID="", NRC_AC_SECRET="")
    assert unnamed.code == 2
    assert "NRC_AC_CLIENT_ID: must be set" in unnamed.err
    assert "NRC_AC_SECRET_FILE: set it or NRC_AC_SECRET" in unnamed.err
