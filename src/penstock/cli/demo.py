"""``penstock demo``: its own module does the work."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import rich_click

from penstock.cli.session import Session, any_path, session
from penstock.core.errors import Unavailable

PLAY = "penstock.demo.play"


@rich_click.command()
@rich_click.argument("directory", metavar="[DIR]", required=False, type=any_path)
@rich_click.option("--no-browser", is_flag=True, help="Do not open the page.")
@rich_click.option(
    "--once", is_flag=True, help="End when all files are done, instead of going on until Ctrl-C."
)
@session
def demo(the: Session, directory: Path | None, no_browser: bool, once: bool) -> int:
    """Show Penstock at work on files of real instruments.

    Everything is kept in DIR (default: a folder of the cache); your own settings stay untouched.
    """
    if find_spec(PLAY) is None:
        raise Unavailable("this installation of Penstock has no demo; install the whole package")
    play = import_module(PLAY)
    return int(play.main(the.home, directory=directory, browser=not no_browser, once=once) or 0)
