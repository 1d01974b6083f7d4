"""A group whose commands are imported when they are used, so that ``penstock --help`` stays quick."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import NamedTuple

import click
import rich_click
from click.exceptions import NoSuchCommand


class Entry(NamedTuple):
    """Where a command is, and how the list of commands tells of it.

    Attributes:
        place: ``module:attribute`` in ``penstock.cli``.
        panel: Heading under which it is listed.
        summary: Equal to the first line of the command's own help.
    """

    place: str
    panel: str
    summary: str


class LazyGroup(rich_click.RichGroup):
    """A group that knows its commands by a table.

    Attributes:
        entries: Its commands in the order of the help; set by whoever makes the group.
    """

    entries: Mapping[str, Entry] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Return the names in the table's order."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a stand-in with name and summary; the command itself comes from ``resolve_command``."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        return rich_click.RichCommand(name=cmd_name, help=entry.summary, panel=entry.panel)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Import the command that ``args`` begin with."""
        if args[0] in self.entries:
            return args[0], self.load(args[0]), args[1:]
        if ctx.resilient_parsing:
            return None, None, args[1:]
        raise NoSuchCommand(args[0], possibilities=list(self.entries), ctx=ctx)

    def load(self, name: str) -> click.Command:
        """Return a command itself."""
        module, _, attribute = self.entries[name].place.partition(":")
        command = getattr(import_module(f"penstock.cli.{module}"), attribute)
        assert isinstance(command, click.Command), f"{self.entries[name].place} is no command"
        return command
