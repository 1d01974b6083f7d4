"""``penstock demo``: its own room does the work."""

from __future__ import annotations

from pathlib import Path

import rich_click

from penstock.cli.session import any_path
from penstock.demo.play import Options, main

FOLDER = ".penstock-demo"


@rich_click.command()
@rich_click.argument("directory", metavar="[DIR]", required=False, type=any_path)
@rich_click.option(
    "--wheels", type=any_path, metavar="DIR", help="Take packages from this folder, not from the network."
)
@rich_click.option(
    "--stay/--no-stay", default=None, help="Keep serving at the end, until Ctrl-C; default: on a terminal."
)
def demo(directory: Path | None, wheels: Path | None, stay: bool | None) -> int:
    """Show Penstock at work on files of real instruments.

    Everything is kept in DIR (default: .penstock-demo, here), and an earlier demo there is
    replaced. Your own settings and functions stay untouched.
    """
    return main(Options(folder=directory or Path(FOLDER), wheels=wheels, stay=stay))
