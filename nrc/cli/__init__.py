"""The command line. Commands use the registry, the ledger, RabbitMQ and the gateway as any process does.

This is the list of commands; each is loaded only when it is used (lazy_commands.py). Results go to standard
output, notes and faults to standard error.

    processes.py    `nrc up` and each process
    setup/          `nrc apply`
    importing/      `nrc import`
    registry/       kanalen, abonnementen, applications, tokens, users, the keys of secrets
    callback_auth/  `nrc callback-auth`
    options/        `nrc abonnement options`
    mappings/       `nrc mapping`
    amqp_direct/    `nrc amqp`
    publishing/     `nrc publish`
    listening/      `nrc listen`
    benching/       `nrc bench`
    tracing/        `nrc trace`, `nrc explain`, `nrc match`, `nrc notificaties`
    redelivery/     `nrc retry`, `nrc resend`, `nrc replay`
    undeliverable/  `nrc undeliverable`
    ledger/         `nrc ledger`
    alerting/       `nrc alerts`
    status/         `nrc status`
    operating/      queues, reconcile, health, backup, settings, the audit trail
    connecting.py   opens the registry, the ledger and RabbitMQ for a command
    faults.py       ends a command that failed: a line and an exit code
    terminal/       printing, asking and reading on a terminal
"""

from __future__ import annotations

import click

from nrc.cli.faults import Commands
from nrc.cli.lazy_commands import LazyCommand
from nrc.cli.terminal.streams import open_standard_streams

__all__ = ["main"]

EPILOG = """\b
Exit codes: 0 ok · 1 failed · 2 wrong usage or settings · 3 registry, ledger, RabbitMQ or
  gateway not reachable · 4 a dry run (`nrc apply`,
  `nrc import`) found something to do.

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
    open_standard_streams()


# By module: each command with the first sentence of its help, which `nrc --help` shows without loading it.
_COMMANDS = {
    "processes": {
        "up": "Start all that is needed here, RabbitMQ included, and keep it running until Ctrl-C.",
        "gateway": "Run a gateway: the HTTP API.",
        "router": "Run a router: it keeps RabbitMQ as the registry says.",
        "deliverer": "Run a deliverer: it POSTs to the callbacks.",
        "inbox": "Run the callback inbox: `nrc up` does so, and nothing else can.",
        "console": "Run a console: pages for operators, in a browser.",
        "demo": "Show the main job on what runs: kanaal, abonnement, notificatie, callback.",
        "version": "Print the version.",
    },
    "ledger.commands": {
        "ledger": "Run a keeper of the ledger: it gives back to RabbitMQ what RabbitMQ does not have.",
    },
    "alerting.commands": {
        "alerts": "Run what sends alerts: messages to operators about what needs attention.",
    },
    "registry.application": {
        "application": "Applications: the clients of the API, their secrets and what they may do.",
    },
    "setup.apply": {
        "apply": "Have kanalen, applications, abonnementen, users and alerts be as FILE says (- is "
        "standard input).",
    },
    "importing.commands": {"import": "The move from another NRC: all that it has, and all that waits there."},
    "registry.token": {"token": "Print an Authorization header for application CLIENT_ID."},
    "registry.user": {"user": "Users of the console: who may log in there, and what they may do."},
    "registry.kanaal": {"kanaal": "Kanalen: what sources publish on."},
    "registry.abonnement": {"abonnement": "Abonnementen: which notificaties go where."},
    "mappings.commands": {"mapping": "Mappings: which CloudEvents notificaties become."},
    "callback_auth.commands": {
        "callback-auth": "What callbacks ask for beyond the Authorization header of their abonnement.",
    },
    "amqp_direct.commands": {
        "amqp": "Consumers that read a queue of their own in RabbitMQ, in place of a callback.",
    },
    "publishing.publish": {"publish": "Publish the notificaties in FILE (- is standard input)."},
    "listening.listen": {
        "listen": "Print what arrives on a kanaal, by an abonnement that lasts until Ctrl-C.",
    },
    "benching.bench": {
        "bench": "Load an NRC, this one or another, through the standard's API alone, and account for "
        "every delivery.",
    },
    "tracing.trace": {
        "trace": "Show every notificatie of an object, to whom each went, and what became of it there.",
    },
    "tracing.explain": {
        "explain": "Say why an abonnement got notificatie ID, gets it later, or does not get it.",
    },
    "tracing.listing": {"notificaties": "Notificaties that were accepted, as the ledger has them."},
    "tracing.tail": {"tail": "Show notificaties as they come and what becomes of them, until Ctrl-C."},
    "tracing.match": {
        "match": "Say whom the notificatie in FILE (- is standard input) would reach, and why not "
        "the others.",
    },
    "status.command": {
        "status": "Show on one screen what runs, what happened, what waits, and what needs attention.",
    },
    "operating.queues": {"queues": "Show each queue: the messages that are ready in it, and its consumers."},
    "undeliverable.commands": {
        "undeliverable": "Notificaties that could not be delivered after every attempt; they stay until "
        "resent or removed.",
    },
    "redelivery.retry": {
        "retry": "Deliveries that wait for their next attempt: send them now, or drop them."
    },
    "redelivery.resend": {
        "resend": "Send a notificatie to an abonnement once more, also one that was delivered.",
    },
    "redelivery.replay": {
        "replay": "Notificaties of the past to one abonnement again, as deliveries of their own."
    },
    "operating.upkeep": {
        "reconcile": "Compare RabbitMQ with the registry, and repair it.",
        "health": "Say whether gateway, broker, router and registry are ready.",
    },
    "registry.secret_keys": {
        "secrets": "Secrets in the registry: whether they can be read, and with which key they "
        "are encrypted.",
    },
    "registry.moving": {"registry": "The registry as a whole: move it to another store."},
    "operating.audit_trail": {
        "audit-trail": "List what operators did with `nrc`, the newest first: who, what, on which thing, "
        "and when.",
    },
    "operating.backup": {
        "backup": "Copy registry, ledger and keys to FOLDER, which must be new or empty; also while "
        "everything runs.",
        "restore": "Put back what `nrc backup` copied to FOLDER, while nothing runs and where "
        "no registry is.",
    },
    "operating.migrate": {
        "migrate": "Bring the tables of registry and ledger up to date, and make those that are not there.",
    },
    "operating.settings": {"settings": "Show every setting: its value and where it came from."},
}

for _module, _named in _COMMANDS.items():
    for _name, _help in _named.items():
        main.add_command(LazyCommand(_name, f"nrc.cli.{_module}", _help))
