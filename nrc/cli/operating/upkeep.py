"""`nrc reconcile` and `nrc health`."""

from __future__ import annotations

import sys

import click

from nrc.cli.connecting import carry_out, gateway_root, local_root, opened_link
from nrc.cli.operating.parts_health import parts_of
from nrc.cli.terminal.output import Column, as_json, json_option, table
from operating.status.health import Health, of_process, part
from runtime.settings import Settings, load_settings


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@json_option
def reconcile(dry_run: bool, json_: bool) -> None:
    """Compare RabbitMQ with the registry, and repair it. The router does so by itself too."""
    lines = carry_out(_reconcile(load_settings(), dry_run=dry_run))
    if json_:
        as_json({"dryRun": dry_run, "lines": lines})
        return
    for line in lines or ["nothing to do"]:
        click.echo(line)


async def _reconcile(settings: Settings, *, dry_run: bool) -> list[str]:
    from router.requests import RouterClient

    async with opened_link(settings) as link:
        return await RouterClient(link).reconcile(dry_run=dry_run)


@click.command()
@click.option(
    "--url", metavar="URL", help="Ask only the process that answers here, for a health check of it."
)
@json_option
def health(url: str | None, json_: bool) -> None:
    """Say whether gateway, broker, router and registry are ready.

    Exit code 0: all are. 1: one answers, but is not ready. 3: one cannot be reached.
    """
    settings = load_settings()
    if url:
        parts = [carry_out(part("process", lambda: of_process(gateway_root(settings, url))))]
    else:
        parts = carry_out(parts_of(settings, local_root(settings)))
    if json_:
        as_json({each.name: each.facts() for each in parts})
    else:
        table(
            [Column("PART"), Column("STATE"), Column("DETAIL", least=20, folds=True)],
            ([each.name, "ok" if each.health is Health.OK else "not ok", each.detail] for each in parts),
            empty="",
        )
    sys.exit(max(each.health for each in parts))
