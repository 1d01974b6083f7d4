"""What a command works with: places, settings, the client of the running server, and who asks."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, TypeVar

import click
import rich_click

from penstock.client import Client
from penstock.server.settings import Places, Settings, load, places

F = TypeVar("F", bound=Callable[..., Any])


class Session:
    """One command's view of an installation.

    Args:
        home: The folder that was named for everything, if one was.
    """

    def __init__(self, home: str | None) -> None:
        self.home = os.path.abspath(os.path.expanduser(home)) if home else None

    @cached_property
    def places(self) -> Places:
        """Where things are kept."""
        return places(self.home)

    @cached_property
    def settings(self) -> Settings:
        """What the settings file says.

        Raises:
            Invalid: It is wrong; every fault is named.
        """
        return load(self.places.config)

    @cached_property
    def client(self) -> Client:
        """Asks the running server."""
        return Client(self.home)

    @property
    def principal(self) -> str:
        """Login name of who asks."""
        try:
            return getpass.getuser()
        except (KeyError, OSError):
            return "local"

    def command(self, words: str) -> str:
        """Return a ``penstock`` command line that a person can copy, with ``--home`` where it was given."""
        home = f" --home {self.home}" if self.home else ""
        return f"penstock {words}{home}"


def session(function: F) -> F:
    """Give a command a ``Session`` as its first argument, and the option ``--home``."""

    @rich_click.option("--home", metavar="DIR", help="Keep everything below DIR (also: PENSTOCK_HOME).")
    @click.pass_context
    @wraps(function)
    def wrapped(ctx: click.Context, /, home: str | None, **options: Any) -> Any:
        chosen = ctx.find_root().obj if home is None else home
        if chosen == "":
            raise click.UsageError("--home is empty; name a folder, or leave it out", ctx)
        return function(Session(chosen), **options)

    return wrapped  # type: ignore[return-value]


as_json = rich_click.option("--json", "as_json", is_flag=True, help="One JSON object on each line.")
dry_run = rich_click.option("--dry-run", is_flag=True, help="Only say what would be done.")
existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)
any_path = click.Path(path_type=Path)
