"""Users of the console with a password. Those of an OpenID provider come from there, and are left alone."""

from __future__ import annotations

from nrc.setup.kinds.step import Action, Difference, Doing, Making, Step, differs, fields
from nrc.setup.model import UserPart
from operating import users
from operating.passwords import PasswordRefused, check_password
from schemas.user import User

KIND = "user"


async def plan(making: Making) -> None:
    """The steps that make and change users."""
    every = {user.name: user for user in making.known.users}
    for index, part in enumerate(making.checked.file.users or ()):
        known, path = every.get(part.name), ("users", index)
        password = part.password or part.initial_password
        if known is None and password is None:
            making.fault(path, f"{part.name} is new, and needs a password or an initialPassword")
        elif reason := _refused(part.name, password if known is None else part.password):
            making.fault((*path, "initialPassword" if part.password is None else "password"), reason)
        elif known is None:
            making.steps.append(_add(part, password or ""))
        else:
            fits = part.password is None or await making.passwords.fits(known.password, part.password)
            making.steps.append(_change(part, known, password=None if fits else part.password))


def plan_removals(making: Making) -> None:
    """The steps that remove users which are not in the file."""
    if not making.prune or (parts := making.checked.file.users) is None:
        return
    named = {part.name for part in parts}
    for user in making.known.users:
        if user.name not in named and not user.issuer:
            making.steps.append(_remove(user.name))


def _refused(name: str, password: str | None) -> str:
    try:
        if password is not None:
            check_password(password, name=name)
    except PasswordRefused as error:
        return str(error)
    return ""


def _add(part: UserPart, password: str) -> Step:
    async def do(doing: Doing) -> None:
        await users.add_user(
            doing.registry.users,
            doing.log,
            doing.passwords,
            name=part.name,
            role=part.role,
            password=password,
        )

    told = fields(differs("role", "", part.role.value), Difference("password", secret=True))
    return Step(KIND, part.name, Action.ADD, told, do)


def _change(part: UserPart, known: User, *, password: str | None) -> Step:
    told = fields(
        differs("role", known.role.value, part.role.value),
        None if password is None else Difference("password", secret=True),
    )
    if not told:
        return Step(KIND, part.name, Action.SAME)

    async def do(doing: Doing) -> None:
        of, log = doing.registry.users, doing.log
        if part.role is not known.role:
            await users.set_role(of, log, name=part.name, role=part.role)
        if password is not None:
            await users.set_password(of, log, doing.passwords, name=part.name, password=password)

    return Step(KIND, part.name, Action.CHANGE, told, do)


def _remove(name: str) -> Step:
    async def do(doing: Doing) -> None:
        await users.remove_user(doing.registry.users, doing.log, name=name)

    return Step(KIND, name, Action.REMOVE, (), do)
