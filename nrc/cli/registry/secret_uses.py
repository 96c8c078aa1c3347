"""Tells when the secrets of an application were last used, and asks before one is revoked that still is."""

from __future__ import annotations

import time

from nrc.cli.terminal.confirmation import ask
from nrc.cli.terminal.output import age, moment, printable
from operating.applications import is_still_used
from store.secret_uses import SecretUse, SecretUses


def told(use: SecretUse | None) -> str:
    """`3m ago, from 10.0.0.5 (agent-name/1.0)`."""
    if use is None:
        return "no use seen"
    agent = f" ({printable(use.agent)})" if use.agent else ""
    return f"{age(time.time() - use.at)} ago, from {printable(use.remote) or 'unknown'}{agent}"


def facts(use: SecretUse | None) -> dict[str, object] | None:
    """The same for scripts."""
    return None if use is None else {"at": moment(use.at), "remote": use.remote, "agent": use.agent}


def ask_before_revoking(client_id: str, uses: SecretUses, *, yes: bool) -> None:
    """Return when the old secret may go: it was not used lately, or the answer is yes.

    Raises UsageError without a terminal.
    """
    if yes or not is_still_used(uses.old, now=time.time()):
        return
    used = f"the old secret of {client_id} was used {told(uses.old)}"
    ask(
        f"{used}; who uses it gets 403 from now on. Revoke it?",
        otherwise=f"{used}: --yes revokes it all the same",
    )
