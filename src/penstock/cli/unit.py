"""``penstock unit``: Penstock as a service of the user."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import click
import rich_click

from penstock.cli.screen import note, say
from penstock.cli.session import Session, dry_run, session
from penstock.core.errors import Conflict
from penstock.server.roles import ROLES

TEXT = """\
# Made by `penstock unit`. Enable it:  systemctl --user enable --now {name}
# To keep it running when you are logged out:  loginctl enable-linger
[Unit]
Description=Penstock: functions and batch jobs on files as they are written{title}
After=network.target

[Service]
ExecStart={command}
Restart=on-failure
RestartSec=2
# With a control group of its own the kernel holds the limits on memory and processes of functions.
Delegate=yes
KillMode=mixed
TimeoutStopSec=60

[Install]
WantedBy=default.target
"""


@rich_click.command()
@rich_click.option(
    "--install", is_flag=True, help="Write it to the folder of user units, instead of printing it."
)
@rich_click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(ROLES),
    help="Of a site: what the process does; may be given again. Makes a unit for each.",
)
@rich_click.option("--force", is_flag=True, help="Replace another unit of this name.")
@dry_run
@session
def unit(the: Session, install: bool, roles: tuple[str, ...], force: bool, dry_run: bool) -> None:
    """Print or install a systemd user unit, to run always."""
    for role in roles or ("",):
        text = TEXT.format(command=_command(the, role), name=_name(role), title=f" ({role})" if role else "")
        if install:
            _install(_name(role), text, force=force, dry_run=dry_run)
        else:
            print(text, end="")


def _name(role: str) -> str:
    return f"penstock-{role}" if role else "penstock"


def _install(name: str, text: str, *, force: bool, dry_run: bool) -> None:
    path = _folder() / f"{name}.service"
    if path.exists() and path.read_text(encoding="utf-8") != text and not force:
        raise Conflict(f"{path} is there already, with other words; `--force` replaces it")
    if dry_run:
        say(f"would write {path}")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    say(f"written: {path}")
    note(f"start it:  systemctl --user daemon-reload && systemctl --user enable --now {name}")


def _folder() -> Path:
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "systemd" / "user"


def _command(the: Session, role: str) -> str:
    home = ["--home", the.home] if the.home else []
    given = ["--role", role] if role else []
    # Percent signs and dollars mean something to systemd.
    return (
        shlex.join([sys.executable, "-m", "penstock", "serve", *given, *home])
        .replace("%", "%%")
        .replace("$", "$$")
    )
