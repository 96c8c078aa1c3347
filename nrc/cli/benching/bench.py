"""`nrc bench`: the same load against any NRC, and an account of every delivery."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nrc.cli.connecting import carry_out
from nrc.cli.faults import INTERRUPTED
from nrc.cli.terminal import parameters
from nrc.cli.terminal.output import as_json, json_option, note
from nrc.cli.terminal.stopping import until_told
from nrc.exits import Exit
from schemas.application import Application
from schemas.errors import UsageError
from schemas.fields import is_http_url

if TYPE_CHECKING:
    from nrc.cli.benching.account import Figures
    from nrc.cli.benching.running import Load, Run
    from runtime.settings import Listen

DEFAULT_COUNT = 1000
KANAAL = "nrc-bench"
DOCUMENTATION = "https://vng-realisatie.github.io/gemma-zaken/standaard/notificaties-consumer/"
SECRETS = {"--publisher": "BENCH_PUBLISHER_SECRET", "--consumer": "BENCH_CONSUMER_SECRET"}
BUSY = 0.8
"""The share of a core above which this command may itself be what is slow."""
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
LOOK = 0.5  # seconds between two steps of the progress bar


@click.command()
@click.option("--against", required=True, metavar="URL", help="The base URL of the API: https://…/api/v1/.")
@click.option("--publisher", required=True, metavar="ID", type=parameters.client_id, help="Who publishes.")
@click.option(
    "--publisher-secret-file", type=click.Path(path_type=Path), metavar="FILE",
    help=f"Its secret. Default: the variable {SECRETS['--publisher']}.",
)  # fmt: skip
@click.option(
    "--consumer", required=True, metavar="ID", type=parameters.client_id, help="Whose the abonnementen are."
)
@click.option(
    "--consumer-secret-file", type=click.Path(path_type=Path), metavar="FILE",
    help=f"Its secret. Default: the variable {SECRETS['--consumer']}.",
)  # fmt: skip
@click.option(
    "--listen", "at", type=parameters.listen_address, default="127.0.0.1:0", show_default=True,
    metavar="HOST:PORT", help="Where the callbacks of this command listen.",
)  # fmt: skip
@click.option(
    "--callback-url", metavar="URL", help="The root at which the NRC reaches them. Default: that of --listen."
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help=f"How many. Default: {DEFAULT_COUNT}.")
@click.option("--duration", type=parameters.duration, help="For how long, e.g. 5m, in place of --count.")
@click.option(
    "--rate", type=click.FloatRange(min=0), default=0.0, metavar="R",
    help="So many a second. Default: as fast as they are answered.",
)  # fmt: skip
@click.option(
    "--concurrency", type=click.IntRange(1, 10_000), default=16, show_default=True, help="Requests at once."
)
@click.option(
    "--abonnementen", type=click.IntRange(1, 1000), default=1, show_default=True, metavar="N",
    help="To how many each is delivered (the fan-out).",
)  # fmt: skip
@click.option("--kanaal", default=KANAAL, show_default=True, metavar="NAAM", help="It is made, and stays.")
@click.option(
    "--documentatie-link", default=DOCUMENTATION, show_default=True, metavar="URL",
    help="That of the kanaal. Some NRCs fetch it; the root of --listen answers with 200.",
)  # fmt: skip
@click.option("--token-each", is_flag=True, help="A token for each request. Default: one for five minutes.")
@click.option(
    "--patience", type=parameters.duration, default="60s", show_default=True,
    help="What has not come when nothing came for so long is lost.",
)  # fmt: skip
@json_option
def bench(
    against: str,
    publisher: str,
    publisher_secret_file: Path | None,
    consumer: str,
    consumer_secret_file: Path | None,
    at: Listen,
    callback_url: str | None,
    count: int | None,
    duration: int | None,
    rate: float,
    concurrency: int,
    abonnementen: int,
    kanaal: str,
    documentatie_link: str,
    token_each: bool,
    patience: int,
    json_: bool,
) -> None:
    """Load an NRC, this one or another, through the standard's API alone, and account for every delivery.

    It makes a kanaal and abonnementen, publishes, counts what arrives at its own callbacks, and removes the
    abonnementen. The kanaal stays: the standard removes none. The exit code is 1 when something that was
    accepted did not arrive.
    """
    for name, url in (("--against", against), ("--callback-url", callback_url)):
        if url is not None and not is_http_url(url):
            raise UsageError(f"{name}: {url} is no http(s) URL with a host")
    if count is not None and duration is not None:
        raise UsageError("--count and --duration: give one of them")
    publishing = _client("--publisher", publisher, publisher_secret_file)
    consuming = _client(
        "--consumer", consumer, consumer_secret_file, same=publishing if consumer == publisher else None
    )

    from yarl import URL

    from nrc.cli.benching.account import Account
    from nrc.cli.benching.running import Load, Run

    load = Load(
        base=URL(against.rstrip("/") + "/"),
        publisher=publishing,
        consumer=consuming,
        kanaal=kanaal,
        documentation=documentatie_link,
        abonnementen=abonnementen,
        listen=at,
        callback_url=callback_url,
        count=count or (None if duration else DEFAULT_COUNT),
        seconds=duration,
        rate=rate,
        at_once=concurrency,
        token_each=token_each,
        patience=patience,
    )
    run = Run(Account(abonnementen), tell=note)
    interrupted = carry_out(_until_told(load, run))
    if not run.account.published:
        sys.exit(INTERRUPTED)
    figures = run.account.figures()
    if json_:
        as_json(as_facts(load, run, figures, interrupted=interrupted))
    else:
        for line in as_lines(load, run, figures, interrupted=interrupted):
            click.echo(line)
    if interrupted:
        sys.exit(INTERRUPTED)
    if figures.missing or not figures.accepted:
        sys.exit(Exit.FAILED)


def _client(
    option: str, client_id: str, file: Path | None, *, same: Application | None = None
) -> Application:
    """The client of this option with its secret. same: the other one, when it is the same client."""
    if file is not None:
        try:
            secret = file.read_text().rstrip("\r\n")
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise UsageError(f"{option}-secret-file: {file}: {why}") from None
    else:
        secret = os.environ.get(SECRETS[option], same.secret if same else "")
    if not secret.strip():
        raise UsageError(
            f"{option}: the secret of {client_id} is in no {option}-secret-file and not in {SECRETS[option]}"
        )
    return Application(client_id=client_id, secret=secret)


async def _until_told(load: Load, run: Run) -> bool:
    """Carry it out; whether it was told to stop before its end. What it made is removed in either case."""
    from nrc.cli.benching.running import carry_out_load

    async with until_told() as told:
        work = asyncio.create_task(carry_out_load(load, run))
        stopping = asyncio.create_task(told.wait())
        with _progress(load, run):
            await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            note("removing the abonnementen")
            work.cancel()
        stopping.cancel()
        try:
            await work
        except asyncio.CancelledError:
            return True
        return False


@contextmanager
def _progress(load: Load, run: Run) -> Iterator[None]:
    """A bar of the deliveries that came, on a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from nrc.cli.terminal.progress_bar import progress_bar

    total = load.count * load.abonnementen if load.count else None
    with progress_bar("delivered", shown=True) as bar:
        task = bar.add_task("", total=total)

        async def look() -> None:
            while True:
                bar.update(task, completed=run.account.arrivals)
                await asyncio.sleep(LOOK)

        looking = asyncio.create_task(look())
        try:
            yield
        finally:
            looking.cancel()


def as_facts(load: Load, run: Run, figures: Figures, *, interrupted: bool) -> dict[str, Any]:
    """The figures as JSON. What is missing of a run that was broken off may still be to come."""
    return {
        "against": str(load.base),
        "kanaal": load.kanaal,
        "abonnementen": load.abonnementen,
        "interrupted": interrupted,
        "published": figures.published,
        "answers": figures.answers,
        "seconds": round(figures.seconds, 3),
        "accepted": figures.accepted,
        "acceptedPerSecond": round(figures.accepted_per_second, 1),
        "expected": figures.expected,
        "delivered": figures.delivered,
        "deliveredPerSecond": round(figures.delivered_per_second, 1),
        "missing": figures.missing,
        "twice": figures.twice,
        "notAccepted": figures.unasked,
        "latencyMs": _quantiles(figures.latencies),
        "answerMs": _quantiles(figures.answer_times),
        "ownCpu": round(_share(run), 2),
    }


def as_lines(load: Load, run: Run, figures: Figures, *, interrupted: bool) -> Iterator[str]:
    """The figures for people."""
    if interrupted:
        yield "broken off: what is missing may still have been on its way"
    yield f"published    {figures.published:,} in {figures.seconds:.2f} s"
    yield f"accepted     {figures.accepted:,}, {figures.accepted_per_second:,.0f}/s"
    yield "answers      " + ", ".join(f"{answer}: {n:,}" for answer, n in figures.answers.items())
    yield (
        f"delivered    {figures.delivered:,} of {figures.expected:,}, {figures.delivered_per_second:,.0f}/s"
    )
    yield f"{'missing' if interrupted else 'lost':<13}{figures.missing:,}"
    yield f"twice        {figures.twice:,}"
    if figures.unasked:
        yield f"unasked      {figures.unasked:,} deliveries of what was not answered with 201"
    for name, times in (("POST to callback", figures.latencies), ("POST to 201", figures.answer_times)):
        told = ", ".join(
            f"{share} {value:,.1f} ms" for share, value in _quantiles(times).items() if value is not None
        )
        yield f"{name}: {told or 'none'}"
    if _share(run) > BUSY:
        yield (
            f"This command itself used {_share(run):.0%} of a core: it may be what is slow. Run several, "
            "each with its own --kanaal"
        )
    yield f"The abonnementen are removed; kanaal {load.kanaal} stays, since the standard removes none."


def _quantiles(ascending: Any) -> dict[str, float | None]:
    from nrc.cli.benching.account import quantile

    found = {name: quantile(ascending, share) for name, share in SHARES.items()}
    return {name: None if value is None else round(value, 2) for name, value in found.items()}


def _share(run: Run) -> float:
    return run.cpu / run.wall if run.wall else 0.0
