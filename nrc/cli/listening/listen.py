"""`nrc listen`: takes an abonnement, prints what arrives for it, and removes it at the end."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from nrc.cli.connecting import carry_out, gateway_root
from nrc.cli.terminal import parameters
from nrc.cli.terminal.output import note
from nrc.cli.terminal.stopping import until_told
from nrc.cli.terminal.streams import fault_of_output
from nrc.exits import GatewayUnreachable
from runtime.settings import load_settings
from schemas.errors import UsageError
from schemas.fields import is_http_url

if TYPE_CHECKING:
    from nrc.cli.listening.receiver import Receiver
    from runtime.settings import Listen, Settings
    from schemas.application import Application

FORWARD_TIMEOUT = 0.9
"""Of NRC_CALLBACK_TIMEOUT, so that the answer there still reaches the deliverer."""


def filter_pair(text: str) -> tuple[str, str]:
    """The name and value of `bronorganisatie=224557609`."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise click.BadParameter(f"{text!r} is no filter such as bronorganisatie=224557609.")
    return name, value


@click.command()
@click.option(
    "--kanaal",
    "kanalen",
    multiple=True,
    required=True,
    metavar="NAAM",
    help="Of this kanaal; may be given again.",
)
@click.option(
    "--filter", "filters", multiple=True, type=filter_pair, metavar="NAME=VALUE",
    help="Only with this kenmerk.",
)  # fmt: skip
@click.option("--forward", metavar="URL", help="Send it on to URL, whose answer is then the one to NRC.")
@click.option("--auth", metavar="VALUE", help="The Authorization that it comes with. Default: one made here.")
@click.option(
    "--listen", "at", type=parameters.listen_address, default="127.0.0.1:0", show_default=True,
    metavar="HOST:PORT", help="Where the receiver is; gateways and deliverers must reach it there.",
)  # fmt: skip
@click.option(
    "--url",
    metavar="URL",
    help="The root of the gateway. Default: NRC_PUBLIC_URL, else the one on this machine.",
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N notificaties.")
@click.option("--json", "json_", is_flag=True, help="Print a line of JSON for each.")
def listen(
    kanalen: tuple[str, ...],
    filters: tuple[tuple[str, str], ...],
    forward: str | None,
    auth: str | None,
    at: Listen,
    url: str | None,
    count: int | None,
    json_: bool,
) -> None:
    """Print what arrives on a kanaal, by an abonnement that lasts until Ctrl-C.

    It makes an application and an abonnement, with a receiver in this process as callback, and removes them
    at the end. With --forward each notificatie goes on to URL as it came; what that does not answer with 2xx
    is tried again, as with any callback.
    """
    settings = load_settings()
    root = gateway_root(settings, url)
    for name, given in (("--forward", forward), ("--url", root)):
        if given is not None and not is_http_url(given):
            raise UsageError(f"{name}: {given} is no http(s) URL with a host")
    if auth is not None and not (auth.strip() and auth.isprintable()):
        raise UsageError("--auth: a value on one line")
    if len(dict(filters)) < len(filters):
        raise UsageError("--filter: each name once")
    wanted = [{"naam": naam, "filters": dict(filters)} for naam in kanalen]
    carry_out(_listen(settings, root, wanted, auth=auth, forward=forward, at=at, count=count, json_=json_))


async def _listen(
    settings: Settings,
    root: str,
    wanted: Sequence[Mapping[str, Any]],
    *,
    auth: str | None,
    forward: str | None,
    at: Listen,
    count: int | None,
    json_: bool,
) -> None:
    from yarl import URL

    from nrc.cli.listening.clients import listening_client, remove_leftovers
    from nrc.cli.listening.receiver import Receiver

    auth = auth or f"Token {secrets.token_urlsafe(16)}"
    timeout = settings.callback_timeout * FORWARD_TIMEOUT
    receiver = Receiver(auth, forward=URL(forward) if forward else None, timeout=timeout)
    await remove_leftovers(settings)
    async with (
        until_told() as told,
        receiver.served(at) as callback,
        listening_client(settings) as application,
    ):
        content = {"callbackUrl": str(callback), "auth": auth, "kanalen": wanted}
        await _subscribe(application, URL(root), content)
        asks = " or ".join(_described(each) for each in wanted)
        note(f"listening to {asks} at {callback}; Ctrl-C ends it and removes the abonnement")
        arrived = await _print(receiver, told, count=count, json_=json_)
        note("removing the abonnement")
    note(f"{arrived} notificatie(s) came; the abonnement and application {application.client_id} are removed")


async def _subscribe(application: Application, root: Any, content: Mapping[str, Any]) -> None:
    """Take the abonnement, as any consumer does. Raises UnexpectedAnswer or GatewayUnreachable."""
    import aiohttp

    from nrc.temporary_client import client_of, expect

    async with client_of(application, root, name="listen") as client:
        # One path below the root, which may have a prefix.
        to = root / "api/v1/abonnement"
        try:
            await expect(client.post(to, json=content), 201, "the abonnement")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = str(error) or type(error).__name__
            raise GatewayUnreachable(
                f"no gateway at {root}: {why}. Is it running? Its address: --url"
            ) from None


async def _print(receiver: Receiver, told: asyncio.Event, *, count: int | None, json_: bool) -> int:
    """Print what arrives until told to stop, or `count` came, or nobody reads; how many it was."""
    from nrc.cli.listening.printing import show, show_json

    arrived = 0
    stopping = asyncio.create_task(told.wait())
    try:
        while arrived != count and fault_of_output() is None:
            coming = asyncio.create_task(receiver.arrivals.get())
            await asyncio.wait({coming, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                coming.cancel()
                break
            (show_json if json_ else show)(coming.result())
            arrived += 1
    finally:
        stopping.cancel()
    return arrived


def _described(group: Mapping[str, Any]) -> str:
    pairs = ", ".join(f"{name}={value}" for name, value in group["filters"].items())
    return f"{group['naam']} where {pairs}" if pairs else str(group["naam"])
