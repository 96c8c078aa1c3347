"""The options of a command that searches notificaties, and the search that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps

import click

from ledger.values import Search
from nrc.cli.tracing import times

Command = Callable[..., None]


def kenmerk(text: str) -> tuple[str, str]:
    """A kenmerk and its value, `NAAM=WAARDE`. A click type."""
    name, separator, value = text.partition("=")
    if not separator or not name.strip():
        raise click.BadParameter(f"{text!r} is no NAAM=WAARDE.")
    return name.strip(), value


_WHAT = (
    click.option("--kanaal", metavar="NAAM", help="Only those on this kanaal."),
    click.option(
        "--kenmerk",
        "kenmerken",
        metavar="NAAM=WAARDE",
        type=kenmerk,
        multiple=True,
        help="Only those with exactly this value; may be given several times, and all count.",
    ),
    click.option("--resource", metavar="TEXT", help="Only those of this resource, such as status."),
    click.option("--actie", metavar="TEXT", help="Only those with this actie, such as create."),
    click.option("--client", metavar="ID", help="Only those that this application sent."),
    click.option("--object", "text", metavar="URL|UUID", help="Only those of this object or resource."),
    click.option("--hoofd-object", metavar="URL|UUID", help="Only those with this hoofdObject."),
    click.option("--resource-url", metavar="URL|UUID", help="Only those with this resourceUrl."),
)
_WHEN = (
    click.option("--after", metavar="TIME", type=times.moment, help="Only those that came then or later."),
    click.option("--before", metavar="TIME", type=times.moment, help="Only those that came earlier."),
)
_PLAIN = (
    *("text", "hoofd_object", "resource_url", "kanaal", "resource", "actie", "client"),
    *("after", "before"),
)


def what_options(command: Command) -> Command:
    """The options for what is searched; the command gets these and those of `when_options` as `search`."""

    @wraps(command)
    def with_search(*, kenmerken: tuple[tuple[str, str], ...], **given: object) -> None:
        search: Mapping[str, object] = {name: given.pop(name, None) for name in _PLAIN}
        command(search=Search(kenmerken=dict(kenmerken), **search), **given)  # type: ignore[arg-type]

    return _with(_WHAT, with_search)


def when_options(command: Command) -> Command:
    """The options for when it was accepted; to be put below `what_options`."""
    return _with(_WHEN, command)


def _with(options: tuple[Callable[[Command], Command], ...], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
