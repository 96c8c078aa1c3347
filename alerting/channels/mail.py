"""Sends messages by SMTP: one mail with all that waits.

The server's address passes the guard of callbacks, except that loopback is allowed: a relay on the same host
is common, and all that it gets is a mail of ours.
"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import format_datetime, localtime

import aiosmtplib

from alerting.channels.faults import NotSent, connecting_failed
from alerting.channels.sockets import connected_socket
from alerting.notices import Notice, mail_subject, mail_text
from deliverer.http.client import FailureClass
from deliverer.http.guard import Policy
from runtime.settings import Settings
from runtime.trust import trusting
from schemas.alert import Mail, Security

TIMEOUT = 30.0  # seconds for all of it


def mail_of(mail: Mail, notices: Sequence[Notice], *, now: float) -> EmailMessage:
    """One mail with all of these. Pure. now: Unix seconds."""
    message = EmailMessage()
    message["From"] = mail.sender
    message["To"] = ", ".join(mail.recipients)
    message["Subject"] = mail_subject(notices)
    message["Date"] = format_datetime(localtime())
    message["Message-ID"] = f"<{notices[0].id}@{mail.sender.rpartition('@')[2]}>"
    # RFC 3834: no absence notice is sent back to it.
    message["Auto-Submitted"] = "auto-generated"
    message["Content-Language"] = "nl"
    if any(each.urgent for each in notices):
        message["Importance"] = "high"
    message.set_content(mail_text(notices, now=now))
    return message


async def send(settings: Settings, mail: Mail, notices: Sequence[Notice], *, now: float) -> None:
    """Return when the server has taken it for every recipient. now: Unix seconds. Raises NotSent."""
    try:
        async with asyncio.timeout(TIMEOUT):
            await _send(settings, mail, mail_of(mail, notices, now=now))
    except TimeoutError:
        raise NotSent(f"{FailureClass.TIMEOUT}: not done within {TIMEOUT:g} s") from None
    except aiosmtplib.SMTPRecipientsRefused as error:
        codes = sorted({each.code for each in error.recipients})
        raise NotSent(f"smtp: answered {codes[0]} to the recipients") from None
    except aiosmtplib.SMTPResponseException as error:
        raise NotSent(f"smtp: answered {error.code} {error.message}") from None
    except aiosmtplib.SMTPException as error:
        raise NotSent(_smtp_fault(error)) from None
    except (OSError, ValueError) as error:
        os_error = error if isinstance(error, OSError) else OSError(0, type(error).__name__)
        raise NotSent(connecting_failed(os_error)) from None


async def _send(settings: Settings, mail: Mail, message: EmailMessage) -> None:
    policy = dataclasses.replace(Policy.of(settings), allow_loopback=True)
    sock = await connected_socket(mail.host, mail.port, policy=policy)
    client = aiosmtplib.SMTP(
        hostname=mail.host,
        sock=sock,
        # Its own default asks the DNS, which may take long.
        local_hostname=socket.gethostname(),
        use_tls=mail.security is Security.TLS,
        start_tls=mail.security is Security.STARTTLS,
        tls_context=trusting(settings.callback_ca_file) or ssl.create_default_context(),
        timeout=TIMEOUT,
    )
    try:
        await client.connect()
    except BaseException:
        sock.close()
        raise
    try:
        if mail.user:
            await client.login(mail.user, mail.secret)
        refused, _ = await client.send_message(message, sender=mail.sender, recipients=[*mail.recipients])
        if refused:
            codes = sorted({code for code, _ in refused.values()})
            raise NotSent(f"smtp: answered {codes[0]} to {len(refused)} of the recipients")
        await client.quit()
    finally:
        client.close()


def _smtp_fault(error: aiosmtplib.SMTPException) -> str:
    cause = error.__cause__
    if isinstance(cause, OSError) and not isinstance(error, aiosmtplib.SMTPTimeoutError):
        return connecting_failed(cause)
    if isinstance(error, aiosmtplib.SMTPTimeoutError):
        return f"{FailureClass.TIMEOUT}: {error.message}"
    if "STARTTLS" in error.message:
        return f"{FailureClass.TLS_ERROR}: the server has no STARTTLS"
    return f"{FailureClass.CONNECTION_ERROR}: {error.message}"
