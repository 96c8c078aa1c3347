"""The command line: one module per group of commands, put together here.

Commands talk to the registry, RabbitMQ and the gateway as any process does, so they work beside those that
run. Results go to standard output, notes and faults to standard error.
"""

from __future__ import annotations

import click

from nrc.cli.abonnement import abonnement
from nrc.cli.application import application
from nrc.cli.backup import backup, restore
from nrc.cli.failing import Commands
from nrc.cli.kanaal import kanaal
from nrc.cli.processes import deliverer, demo, gateway, router, up, version
from nrc.cli.publish import publish
from nrc.cli.queues import queues
from nrc.cli.secret_keys import secrets
from nrc.cli.settings import settings
from nrc.cli.token import token
from nrc.cli.undeliverable import undeliverable
from nrc.cli.upkeep import health, reconcile

__all__ = ["main"]

EPILOG = """\b
Exit codes: 0 ok · 1 failed · 2 wrong usage or settings · 3 registry, RabbitMQ or gateway not reachable.

\b
Completion of commands and options with Tab:
  bash   eval "$(_NRC_COMPLETE=bash_source nrc)"     in ~/.bashrc
  zsh    eval "$(_NRC_COMPLETE=zsh_source nrc)"      in ~/.zshrc
  fish   _NRC_COMPLETE=fish_source nrc | source      in ~/.config/fish/completions/nrc.fish
"""


@click.group(
    cls=Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="nrc", message="%(version)s")
def main() -> None:
    """The notificatierouteringcomponent: the VNG Notificaties API on RabbitMQ.

    Settings are NRC_… environment variables or lines in .env; `nrc settings` shows them.
    """


for _command in (
    up,
    gateway,
    router,
    deliverer,
    demo,
    application,
    token,
    kanaal,
    abonnement,
    publish,
    queues,
    undeliverable,
    reconcile,
    health,
    secrets,
    backup,
    restore,
    settings,
    version,
):
    main.add_command(_command)
