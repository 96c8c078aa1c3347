"""A mail server for tests: real SMTP, with STARTTLS and a login where asked. It keeps what it got."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword

USER, PASSWORD = "nrc", "wachtwoord van de mailserver"


@dataclass
class MailServer:
    """What it got. answer: to the next mail. over_tls: whether each came over TLS."""

    port: int = 0
    got: list[EmailMessage] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    over_tls: list[bool] = field(default_factory=list)
    answer: str = "250 OK"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Envelope) -> str:
        """Called by the library."""
        if self.answer.startswith("250"):
            assert isinstance(envelope.content, bytes)
            message = message_from_bytes(envelope.content, policy=default)
            assert isinstance(message, EmailMessage)
            self.got.append(message)
            self.envelopes.append(envelope)
            self.over_tls.append(session.ssl is not None)
        return self.answer


def _login(server: SMTP, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    right = LoginPassword(USER.encode(), PASSWORD.encode())
    return AuthResult(success=data == right, handled=False)


@asynccontextmanager
async def mail_server(*, certificate: Path | None = None, login: bool = False) -> AsyncIterator[MailServer]:
    """One on 127.0.0.1. certificate: of its STARTTLS, which it then requires."""
    found, loop = MailServer(), asyncio.get_running_loop()
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)

    def protocol() -> SMTP:
        return SMTP(
            found,
            loop=loop,
            hostname="mail.test",
            tls_context=context,
            require_starttls=context is not None,
            authenticator=_login if login else None,
            auth_required=login,
            auth_require_tls=context is not None,
        )

    sock = socket.create_server(("127.0.0.1", 0))
    found.port = sock.getsockname()[1]
    server = await loop.create_server(protocol, sock=sock)
    try:
        yield found
    finally:
        server.close()
