"""Waarschuwingen: of what operators are warned now, by which rules, and where messages go; with a test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from alerting import changing
from alerting.rules import TITLES
from console.forms import Form
from console.page import Answer, Page, Redirect, Refused, Visit
from ledger.explaining.dutch import held_because
from operating.moments import read_duration
from operating.status.dutch import lasting
from schemas.alert import (
    DAY,
    HOUR,
    MINUTE,
    AlertSettings,
    Channel,
    Fault,
    Mail,
    Rule,
    RuleSetting,
    Security,
    Webhook,
)
from schemas.errors import UsageError
from store.alerts import Alert, Sending

SECURITIES: Mapping[Security, str] = {
    Security.STARTTLS: "STARTTLS (meestal poort 587)",
    Security.TLS: "TLS (meestal poort 465)",
    Security.NONE: "Geen: alles gaat leesbaar over het netwerk (meestal poort 25)",
}
_PATH = "waarschuwingen/"
_WRONG: Mapping[Fault, str] = {
    Fault.URL: "Vul een adres in dat met https:// of http:// begint, zonder gebruiker erin.",
    Fault.AUTHORIZATION: "De waarde van Authorization mag alleen gewone tekens hebben (ASCII).",
    Fault.HOST: "Vul de naam of het adres van de mailserver in, zonder poort.",
    Fault.PORT: "Vul een poort in van 1 tot 65535; meestal 587.",
    Fault.SENDER: "Vul bij Afzender een mailadres in, zoals nrc@example.nl.",
    Fault.RECIPIENTS: "Vul bij Ontvangers mailadressen in, met komma's ertussen; hoogstens twintig.",
    Fault.USER: "De gebruikersnaam mag alleen zichtbare tekens hebben.",
    Fault.PASSWORD: "Een wachtwoord heeft alleen zichtbare tekens, en een gebruikersnaam erbij.",
    Fault.SOURCE: "De bron is een URI, zoals urn:nld:oin:00000001823288444000:systeem:nrc.",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A rule, as it is set. after: as one types it."""

    name: str
    title: str
    on: bool
    after: str

    @property
    def choice(self) -> tuple[str, str]:
        """As a checkbox."""
        return self.name, self.title


@dataclass(frozen=True, slots=True)
class Destination:
    """How sending goes by one channel. state: the kind and the text of a badge; said: a sentence."""

    state: tuple[str, str]
    said: str


@dataclass(frozen=True, slots=True)
class Lasting:
    """Of what operators are warned, or will be. told_at: when something was last sent of it."""

    title: str
    text: str
    since: float
    told_at: float | None
    abonnement: str


@dataclass(frozen=True, slots=True)
class Waarschuwingen:
    """What the page shows; of secrets only whether they are there. works: whether a process sends.

    warns: whether messages go anywhere. pause_told: in words.
    """

    works: bool
    warns: bool
    lasting: Sequence[Lasting]
    rows: Sequence[Row]
    pause: str
    pause_told: str
    again: str
    source: str
    webhook: Webhook | None
    mail: Mail | None
    by_webhook: Destination
    by_mail: Destination
    securities: Sequence[tuple[str, str]]


async def show(visit: Visit) -> Waarschuwingen:
    """From the registry."""
    alerts = visit.console.registry.alerts
    settings, sending = await alerts.settings(), await alerts.sending()
    lasting = [each for each in await alerts.every() if each.over is None]
    return Waarschuwingen(
        await alerts.lease() is not None,
        bool(settings.channels),
        [_lasting(each) for each in lasting],
        [
            Row(rule.value, TITLES[rule], settings.rule(rule).on, typed(settings.rule(rule).after))
            for rule in Rule
        ],
        typed(settings.pause),
        _in_words(settings.pause),
        typed(settings.again),
        settings.source,
        settings.webhook,
        settings.mail,
        _destination(settings, Channel.WEBHOOK, sending[Channel.WEBHOOK], now=visit.now),
        _destination(settings, Channel.MAIL, sending[Channel.MAIL], now=visit.now),
        [(each.value, text) for each, text in SECURITIES.items()],
    )


def _in_words(seconds: float) -> str:
    """As `1 uur`."""
    return lasting(seconds)


def _lasting(alert: Alert) -> Lasting:
    notice = alert.notice or {}
    return Lasting(
        TITLES[alert.rule],
        str(notice.get("text", "")),
        alert.since,
        alert.told_at if alert.told else None,
        str(notice.get("abonnement", "")),
    )


def _destination(settings: AlertSettings, channel: Channel, sending: Sending, *, now: float) -> Destination:
    is_set = settings.webhook if channel is Channel.WEBHOOK else settings.mail
    waiting = f" Er {'wacht' if sending.waiting == 1 else 'wachten'} {sending.waiting}."
    if is_set is None:
        return Destination(("neutral", "niet ingesteld"), "Hierlangs gaat niets.")
    if channel not in settings.channels:
        return Destination(("neutral", "uit"), "Hierlangs gaat niets, tot je het weer aanzet.")
    if sending.failing_since is not None:
        again = lasting(sending.next_try - now)
        return Destination(
            ("danger", "mislukt"),
            f"Er komt niets aan: {held_because(sending.error)}. Over {again} wordt het weer geprobeerd."
            + waiting,
        )
    said = "Er is hierlangs nog niets gestuurd." if sending.last_sent is None else "Het laatste kwam aan."
    return Destination(("safe", "goed"), said + (waiting if sending.waiting else ""))


def typed(seconds: int) -> str:
    """A duration as one types it: `15m`, `1h`, `14d`; `0` for none."""
    for unit, size in (("d", DAY), ("h", HOUR), ("m", MINUTE)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s" if seconds else "0"


def _seconds(form: Form, name: str, what: str) -> int:
    """Raises Refused."""
    text = form.text(name)
    if text == "0":
        return 0
    try:
        return read_duration(text)
    except ValueError:
        raise Refused(f"Vul bij {what} een duur in, zoals 45s, 15m, 1h of 14d; 0 is meteen.") from None


@contextmanager
def _told_in_dutch() -> Iterator[None]:
    """What is wrong with a setting is Refused."""
    try:
        yield
    except changing.Wrong as error:
        raise Refused(_WRONG[error.fault]) from None


async def set_rules(visit: Visit, form: Form) -> Answer:
    """Warn by the rules that are checked, and from when on."""
    on = form.every("regels")
    rules = {
        rule: RuleSetting(rule.value in on, _seconds(form, f"na-{rule}", f"'{TITLES[rule]}'"))
        for rule in Rule
    }
    await changing.set_rules(visit.console.registry.alerts, visit.log, rules)
    return Redirect(_PATH, said="De regels zijn opgeslagen.")


async def set_pace(visit: Visit, form: Form) -> Answer:
    """How often messages go, and in whose name."""
    pause, again = _seconds(form, "pauze", "de pauze"), _seconds(form, "herhaal", "het herhalen")
    with _told_in_dutch():
        await changing.set_pace(
            visit.console.registry.alerts, visit.log, pause=pause, again=again, source=form.text("bron")
        )
    return Redirect(_PATH, said="Het tempo is opgeslagen.")


async def set_webhook(visit: Visit, form: Form) -> Answer:
    """Send to this webhook, or to none."""
    alerts, url = visit.console.registry.alerts, form.text("url")
    if not url:
        await changing.forget(alerts, visit.log, Channel.WEBHOOK)
        return Redirect(_PATH, said="Er gaat niets meer naar een webhook.")
    secret = form.text("authorization")
    webhook = Webhook(url, secret, on=form.has("aan"))
    keep = not secret and not form.has("zonder-geheim")
    with _told_in_dutch():
        await changing.set_webhook(alerts, visit.log, webhook, keep=keep)
    return Redirect(_PATH, said="De webhook is opgeslagen. Test hem hieronder.")


async def set_mail(visit: Visit, form: Form) -> Answer:
    """Send by this mail server, or by none."""
    alerts, host = visit.console.registry.alerts, form.text("server")
    if not host:
        await changing.forget(alerts, visit.log, Channel.MAIL)
        return Redirect(_PATH, said="Er gaat niets meer per mail.")
    port, secret = form.text("poort"), form.as_typed("wachtwoord")
    security = form.text("beveiliging")
    if security not in [*Security]:
        raise Refused("Kies hoe de verbinding met de mailserver beveiligd is.")
    mail = Mail(
        host,
        int(port) if port.isascii() and port.isdecimal() and len(port) < 6 else 0,
        Security(security),
        form.text("afzender"),
        tuple(each.strip() for each in form.text("ontvangers").split(",") if each.strip()),
        user=form.text("gebruiker"),
        secret=secret,
        on=form.has("aan"),
    )
    keep = not secret and not form.has("zonder-geheim")
    with _told_in_dutch():
        await changing.set_mail(alerts, visit.log, mail, keep=keep)
    return Redirect(_PATH, said="De mail is opgeslagen. Test hem hieronder.")


async def test(visit: Visit, form: Form) -> Answer:
    """Send a message now."""
    name = form.text("langs")
    if name not in [*Channel]:
        raise Refused("Kies wat je wilt testen: de webhook of de mail.")
    console, channel = visit.console, Channel(name)
    what = {Channel.WEBHOOK: "De webhook", Channel.MAIL: "De mail"}[channel]
    try:
        error = await changing.test(console.settings, console.registry.alerts, visit.log, channel)
    except UsageError:
        raise Refused(f"{what} is nog niet ingesteld.") from None
    if error:
        why = held_because(error)
        raise Refused(f"{what} kwam niet aan: {why}. Herstel de instellingen, en test opnieuw.")
    return Redirect(_PATH, said=f"{what} is aangekomen: kijk of je de test ziet.")


PAGE = Page(
    "waarschuwingen",
    _PATH,
    "Waarschuwingen",
    "waarschuwingen.html",
    show,
    actions={
        "regels": set_rules,
        "tempo": set_pace,
        "webhook": set_webhook,
        "mail": set_mail,
        "testen": test,
    },
)
