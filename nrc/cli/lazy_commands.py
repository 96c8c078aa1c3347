"""Commands whose module is loaded only when they are used, so that every command starts fast."""

from __future__ import annotations

from importlib import import_module
from keyword import iskeyword

import click


class LazyCommand(click.Command):
    """A command that is not loaded yet: its name and the first sentence of its help. module: where it is."""

    def __init__(self, name: str, module: str, help: str) -> None:
        super().__init__(name, help=help)
        self.module = module

    def load(self) -> click.Command:
        """The command itself, which has the same name in its module, with `_` for `-` and after a keyword."""
        name = str(self.name).replace("-", "_")
        command = getattr(import_module(self.module), f"{name}_" if iskeyword(name) else name)
        assert isinstance(command, click.Command)  # noqa: S101 - what the table in nrc/cli says
        return command


class LazyGroup(click.Group):
    """A group whose commands may be LazyCommands."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, LazyCommand) else command, rest
