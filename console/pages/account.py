"""Mijn account: the user's own password, and logging out everywhere."""

from __future__ import annotations

from dataclasses import dataclass

from console.forms import Form
from console.page import Answer, Page, Redirect, Refused, Visit
from operating.passwords import PasswordRefused
from operating.users import log_out, set_password
from schemas.errors import Overloaded
from schemas.user import LEAST_PASSWORD, Role

_MAY = {
    Role.LEZER: "Je mag alles zien, en niets veranderen.",
    Role.BEHEERDER: "Je mag alles zien, en notificaties, abonnementen en kanalen beheren.",
    Role.ADMIN: "Je mag alles zien en beheren, ook applicaties en tokens.",
}


@dataclass(frozen=True, slots=True)
class Account:
    """What the page shows. least: characters of a password."""

    may: str
    began: float
    address: str
    least: int


async def show(visit: Visit) -> Account:
    """Who is logged in, since when and from where."""
    return Account(_MAY[visit.user.role], visit.session.began, visit.session.address, LEAST_PASSWORD)


async def change_password(visit: Visit, form: Form) -> Answer:
    """Another password; all sessions end, this one too."""
    if visit.user.issuer:
        raise Refused("Je wachtwoord is dat van de inlogdienst. Verander het daar.")
    new, passwords, users = form.as_typed("nieuw"), visit.console.passwords, visit.console.registry.users
    try:
        if not await passwords.fits(visit.user.password, form.as_typed("huidig")):
            raise Refused("Je huidige wachtwoord klopt niet. Er is niets veranderd.")
        await set_password(users, visit.log, passwords, name=visit.user.name, password=new)
    except PasswordRefused as error:
        raise Refused(error.dutch) from None
    except Overloaded:
        raise Refused("Het is nu te druk om wachtwoorden te vergelijken. Probeer het zo opnieuw.") from None
    return Redirect("inloggen/")


async def log_out_everywhere(visit: Visit, form: Form) -> Answer:
    """End all sessions of this user."""
    await log_out(visit.console.registry.users, visit.log, name=visit.user.name)
    return Redirect("inloggen/")


PAGE = Page(
    "account",
    "account/",
    "Mijn account",
    "account.html",
    show,
    actions={"wachtwoord": change_password, "overal-uitloggen": log_out_everywhere},
    under="account",
)
