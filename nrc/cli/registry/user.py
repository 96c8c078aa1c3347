"""`nrc user …`: who may use the console, and what they may do there."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

from nrc.cli.connecting import carry_out, new_option, opened_registry
from nrc.cli.operating import audit
from nrc.cli.terminal.confirmation import at_terminal
from nrc.cli.terminal.output import Column, as_json, json_option, moment, note, shown, table
from operating import users as operating
from operating.passwords import Passwords, new_password
from runtime.settings import load_settings
from schemas.errors import UsageError
from schemas.user import Role, read_user_name

if TYPE_CHECKING:
    from operating.acts import Log
    from schemas.user import User
    from store.users import Users

T = TypeVar("T")


def _name(text: str) -> str:
    name = read_user_name(text)
    if name is None:
        raise click.BadParameter(
            f"{text!r} is no name of a user: 1 to 64 of a-z, 0-9, . _ @ -, the first a letter or a digit."
        )
    return name


def _role(text: str) -> Role:
    try:
        return Role(text.lower())
    except ValueError:
        raise click.BadParameter(f"{text!r} is no role; there are {', '.join(Role)}.") from None


_password_option = click.option(
    "--password",
    "given",
    metavar="-",
    help="- reads the password from standard input. Default: a new one, shown once.",
)


@click.group()
def user() -> None:
    """Users of the console: who may log in there, and what they may do.

    A lezer sees everything but secrets, a beheerder also acts on notificaties and abonnementen, an admin also
    on applications and tokens. Who logs in by OpenID Connect is a user from the first login on, with a role
    from there; NAME is then the name that `nrc user list` shows.
    """


@user.command()
@click.argument("name", type=_name)
@click.option("--role", type=_role, required=True, metavar="ROLE", help=f"{', '.join(Role)}.")
@_password_option
@new_option
@json_option
def add(name: str, role: Role, given: str | None, new: bool, json_: bool) -> None:
    """Make user NAME. A new password is shown once, here."""
    password = _given_or_new(given)

    async def work(users: Users, log: Log) -> None:
        async with Passwords() as passwords:
            await operating.add_user(users, log, passwords, name=name, role=role, password=password)

    _with_users(work, new=new)
    _show(name, role, None if given else password, json_=json_)
    if not load_settings().console_password_login:
        note(
            "login with a password is off: NRC_CONSOLE_PASSWORD_LOGIN=true for the console lets this user in"
        )


@user.command("list")
@json_option
def list_(json_: bool) -> None:
    """List the users."""
    found = _with_users(lambda users, _: users.every())
    if json_:
        as_json(
            [
                {
                    "name": each.name,
                    "shown": each.shown or None,
                    "issuer": each.issuer or None,
                    "role": each.role.value,
                    "made": moment(each.made),
                    "loggedIn": moment(each.logged_in) if each.logged_in else None,
                    "failures": each.failures,
                    "lockedUntil": moment(each.locked_until) if each.locked_until else None,
                }
                for each in found
            ]
        )
        return
    table(
        [Column("NAME", least=12), Column("ROLE"), Column("LAST LOGIN"), Column("LOCKED UNTIL")],
        (
            [
                each.told,
                each.role.value,
                shown(each.logged_in) if each.logged_in else "",
                shown(each.locked_until) if each.locked_until else "",
            ]
            for each in found
        ),
        empty="no users yet: the first start of the console makes one, and so does `nrc user add`",
    )


@user.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove user NAME, who is logged out everywhere."""

    async def work(users: Users, log: Log) -> str:
        found = await operating.find_user(users, name)
        await operating.remove_user(users, log, name=found.name)
        return found.told

    click.echo(f"{_with_users(work)} removed")


@user.command()
@click.argument("name")
@_password_option
@json_option
def password(name: str, given: str | None, json_: bool) -> None:
    """Give user NAME another password, which ends its sessions and lock. A new one is shown once, here."""
    password = _given_or_new(given)

    async def work(users: Users, log: Log) -> User:
        found = await operating.find_user(users, name)
        async with Passwords() as passwords:
            await operating.set_password(users, log, passwords, name=found.name, password=password)
        return found

    changed = _with_users(work)
    _show(changed.name, changed.role, None if given else password, json_=json_)


@user.command()
@click.argument("name")
@click.argument("role", type=_role, metavar="ROLE")
def role(name: str, role: Role) -> None:
    """Let user NAME do what ROLE may, from its next request on: lezer, beheerder, admin."""

    async def work(users: Users, log: Log) -> str:
        found = await operating.find_user(users, name)
        await operating.set_role(users, log, name=found.name, role=role)
        return found.told

    click.echo(f"{_with_users(work)}: {role.value}")


@user.command()
@click.argument("name")
def logout(name: str) -> None:
    """Log user NAME out everywhere."""

    async def work(users: Users, log: Log) -> tuple[str, int]:
        found = await operating.find_user(users, name)
        return found.told, await operating.log_out(users, log, name=found.name)

    told, ended = _with_users(work)
    click.echo(f"{told}: {ended} session(s) ended")


def _with_users(work: Callable[[Users, Log], Awaitable[T]], *, new: bool | None = None) -> T:
    settings = load_settings()

    async def run() -> T:
        async with opened_registry(settings, new=new) as opened:
            log = audit.log_of(settings, registry=opened.registry)
            return await work(opened.registry.users, log)

    return carry_out(run())


def _given_or_new(given: str | None) -> str:
    """The password on standard input, where that was asked for: no list of processes shows it."""
    if given is None:
        return new_password()
    if given != "-":
        raise UsageError("--password: only - is taken, which reads the password from standard input")
    if at_terminal():
        return str(click.prompt("password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")


def _show(name: str, role: Role, made: str | None, *, json_: bool) -> None:
    if json_:
        shown = {"name": name, "role": role.value}
        as_json(shown if made is None else {**shown, "password": made})
        return
    click.echo(f"name:     {name}")
    click.echo(f"role:     {role.value}")
    if made is not None:
        click.echo(f"password: {made}")
        note("this password is shown once; who has it can change it in the console")
