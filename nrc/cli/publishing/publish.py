"""`nrc publish`: POSTs the notificaties of a file to the gateway, as any source does."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

import click

from nrc.cli.connecting import carry_out, gateway_root, opened_registry
from nrc.cli.publishing.notificatie_files import Items, read_items
from nrc.cli.publishing.sender import ANSWER_TIMEOUT, Outcome, RefusedAll, Sender, send_all
from nrc.cli.registry.application import known_application
from nrc.cli.terminal import parameters
from nrc.cli.terminal.output import as_json, note, printable
from nrc.exits import Exit, GatewayUnreachable
from operating.tokens import make_token
from runtime.settings import Settings, load_settings
from schemas.application import Application, Scope
from schemas.errors import NrcError, UsageError
from schemas.fields import is_http_url

if TYPE_CHECKING:
    from router.catalogue import Catalogue

SHOWN_FAILURES = 50
TOKEN_AGE = 300.0  # seconds after which another is made; NRC_JWT_EXPIRY refuses old ones


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--url", metavar="URL", help="The gateway. Default: NRC_PUBLIC_URL, else NRC_GATEWAY_LISTEN.")
@click.option(
    "--client",
    metavar="ID",
    type=parameters.client_id,
    help="Send as this application. Default: the only one.",
)
@click.option("--token", metavar="JWT", help="Send with this token, as `nrc token` prints it.")
@click.option(
    "--concurrency", type=click.IntRange(1, 1000), default=16, show_default=True, help="How many at once."
)
@click.option(
    "--patience",
    type=parameters.duration,
    default="60s",
    show_default=True,
    help="How long to try each again.",
)
@click.option("--ids", is_flag=True, help="Print the id of each that is accepted, a line each, and no more.")
@click.option("--json", "json_", is_flag=True, help="Print a summary in JSON.")
def publish(
    file: BinaryIO,
    url: str | None,
    client: str | None,
    token: str | None,
    concurrency: int,
    patience: int,
    ids: bool,
    json_: bool,
) -> None:
    """Publish the notificaties in FILE (- is standard input).

    FILE holds one notificatie in JSON, a list of them, or one on each line. What the gateway can't take now
    (503, Retry-After) is sent again; when an answer was lost a notificatie may be accepted twice. Each one
    that fails is named, and the exit code is then 1.
    """
    settings = load_settings()
    if token is not None and client is not None:
        raise UsageError("--token and --client: give one of them")
    to = address(settings, url)
    name = getattr(file, "name", "-")
    items = read_items(file, name=name)
    report = _Report(items.total, ids=ids, json_=json_)
    if items.total == 0:
        note(f"{name} holds no notificaties")
    stopped: NrcError | None = None
    try:
        with report.progress:
            authorization = _fixed(token) if token is not None else carry_out(_tokens(settings, client))
            carry_out(
                _send(
                    items,
                    to,
                    authorization=authorization,
                    at_once=concurrency,
                    patience=patience,
                    report=report,
                )
            )
    except (RefusedAll, GatewayUnreachable) as error:
        stopped = error
    except KeyboardInterrupt:
        stopped = RefusedAll("interrupted")
    if stopped is None or report.done:
        report.show()
    if stopped is not None:
        rest = f"; what came after the first {report.done} was not sent" if report.done else ""
        raise type(stopped)(f"{stopped}{rest}")
    if report.failed:
        sys.exit(Exit.FAILED)


async def _send(
    items: Items,
    url: str,
    *,
    authorization: Callable[[], str],
    at_once: int,
    patience: float,
    report: _Report,
) -> None:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT)
    connector = aiohttp.TCPConnector(limit=at_once)
    report.start()
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        sender = Sender(session, url, authorization=authorization, patience=patience)
        await send_all(items, sender, at_once=at_once, tell=report.tell)


def address(settings: Settings, url: str | None) -> str:
    """The URL to POST to: under the given root, else the gateway of these settings. Raises UsageError."""
    root = gateway_root(settings, url)
    if not is_http_url(root):
        raise UsageError(f"--url: {root} is no http(s) URL with a host")
    return root + "/api/v1/notificaties"


def _fixed(token: str) -> Callable[[], str]:
    jwt = token.removeprefix("Authorization:").strip().removeprefix("Bearer ").strip()
    if not jwt.isascii() or not jwt.isprintable():
        raise UsageError("--token: not a token")
    return lambda: f"Bearer {jwt}"


async def _tokens(settings: Settings, client: str | None) -> Callable[[], str]:
    async with opened_registry(settings) as opened:
        application = _publisher(opened.catalogue, client)
    made = (0.0, "")

    def authorization() -> str:
        nonlocal made
        now = time.time()
        if not 0 <= now - made[0] < min(TOKEN_AGE, settings.jwt_expiry / 2):
            made = (now, f"Bearer {make_token(application, now=int(now), scopes=[Scope.PUBLICEREN])}")
        return made[1]

    return authorization


def _publisher(catalogue: Catalogue, client: str | None) -> Application:
    """The application to send as. Raises UsageError when it is not clear which."""
    if client is not None:
        return known_application(catalogue, client)
    able = [each for each in catalogue.applications.values() if each.may(Scope.PUBLICEREN)]
    if len(able) == 1:
        return able[0]
    if not able:
        raise UsageError(
            "no application may publish: `nrc application add ID --scope publiceren`, or --token"
        )
    raise UsageError(f"--client: which of {', '.join(sorted(each.client_id for each in able))}?")


class _Report:
    """Counts and prints the results, meanwhile and at the end."""

    def __init__(self, total: int | None, *, ids: bool, json_: bool) -> None:
        from nrc.cli.terminal.progress_bar import progress_bar

        self.accepted = 0
        self.failures: list[Outcome] = []
        self._wants_ids = ids
        self._in_json = json_
        self._ids: list[str] = []
        self._last_id = ""
        self._started = 0.0
        self._on_terminal = sys.stderr.isatty()
        # Ids on the same terminal would break up the bar.
        self.progress = progress_bar(
            "publishing", shown=self._on_terminal and not (ids and sys.stdout.isatty())
        )
        self._task = self.progress.add_task("", total=total)

    def start(self) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    @property
    def failed(self) -> int:
        """How many failed."""
        return len(self.failures)

    @property
    def done(self) -> int:
        """How many have a result."""
        return self.accepted + self.failed

    def tell(self, outcome: Outcome) -> None:
        """Count one, and print it when it failed."""
        self.progress.advance(self._task)
        if not outcome.problem:
            self.accepted += 1
            self._last_id = outcome.id
            if self._wants_ids and self._in_json:
                self._ids.append(outcome.id)
            elif self._wants_ids:
                click.echo(outcome.id)
            return
        self.failures.append(outcome)
        if self.failed <= SHOWN_FAILURES:
            line = f"{outcome.where}: {printable(outcome.problem)}"
            if self._on_terminal:
                self.progress.console.print(line, markup=False, highlight=False, emoji=False)
            else:
                note(line)

    def show(self) -> None:
        """Print the totals; on standard error when ids are printed."""
        seconds = time.monotonic() - self._started
        rate = self.accepted / seconds if seconds else 0.0
        if self._in_json:
            as_json(
                {
                    "accepted": self.accepted,
                    **({"ids": self._ids} if self._wants_ids else {}),
                    "failed": self.failed,
                    "seconds": round(seconds, 3),
                    "perSecond": round(rate, 1),
                    "failures": [
                        {"where": each.where, "status": each.status, "reason": each.problem}
                        for each in self.failures
                    ],
                }
            )
            return
        if self.failed > SHOWN_FAILURES:
            note(f"… and {self.failed - SHOWN_FAILURES} more that failed (--json lists all)")
        if self.accepted == self.done == 1:
            if not self._wants_ids:
                click.echo(f"accepted: {self._last_id}")
        else:
            told = f"{self.accepted} of {self.done} accepted in {seconds:.2f} s ({rate:.0f}/s)"
            click.echo(told, err=self._wants_ids)
