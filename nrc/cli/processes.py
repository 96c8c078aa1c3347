"""`nrc up`, `nrc demo`, and the commands that run one process."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib.metadata import version as installed_version

import click

from nrc.exits import exit_code
from runtime.settings import load_settings
from schemas.errors import NrcError


@click.command()
@click.option("--demo/--no-demo", default=True, help="Show the main job once everything is ready.")
def up(demo: bool) -> None:
    """Start all that is needed here, RabbitMQ included, and keep it running until Ctrl-C."""
    from nrc.forking import forking
    from runtime.log import logger

    settings = load_settings()
    try:
        with forking() as forker:
            # Loaded while the processes' own packages are.
            from nrc.up import run_up

            code = run_up(settings, demo=demo, forker=forker)
    except NrcError as error:
        if settings.log_format != "json":
            raise
        logger(__name__).error("cannot go on", reason=str(error))
        code = exit_code(error)
    sys.exit(code)


@click.command()
def demo() -> None:
    """Show the main job on what runs: kanaal, abonnement, notificatie, callback."""
    from nrc.cli.connecting import there_is_a_registry
    from nrc.demo import run_demo

    settings = load_settings()
    there_is_a_registry(settings)
    sys.exit(run_demo(settings, say=click.echo))


@click.command()
def gateway() -> None:
    """Run a gateway: the HTTP API."""
    run("gateway")


@click.command()
def router() -> None:
    """Run a router: it keeps RabbitMQ as the registry says."""
    run("router")


@click.command()
def deliverer() -> None:
    """Run a deliverer: it POSTs to the callbacks. Run as many as you like."""
    run("deliverer")


@click.command()
def inbox() -> None:
    """Run the callback inbox: `nrc up` does so, and nothing else can."""
    run("inbox")


@click.command()
def console() -> None:
    """Run a console: pages for operators, in a browser."""
    run("console")


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(installed_version("nrc"))


def run(name: str) -> None:
    """Run a process of this kind, and end with its exit code."""
    from nrc.processes import run_process

    code = run_process(name, load_settings())
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the reader may have gone
            stream.flush()
    # Everything is closed. The interpreter's own clean-up takes a second on a busy machine, for which a
    # successor would have to wait.
    os._exit(code)
