"""``penstock``: the door of the house.

Data go to standard output, everything else to standard error. Exit codes: 0 done, 1 it failed,
2 wrong usage, 3 refused, 4 not available now, 70 broken, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

import click
import rich_click

from penstock.cli.failure import told
from penstock.cli.index import COMMANDS
from penstock.cli.lazy import LazyGroup


@rich_click.group(
    cls=LazyGroup,
    name="penstock",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="`penstock COMMAND --help` tells more. A first walk: penstock init; penstock serve.",
)
@rich_click.option("--home", metavar="DIR", help="Keep everything below DIR (also: PENSTOCK_HOME).")
@rich_click.version_option(package_name="penstock", message="penstock %(version)s")
@click.pass_context
def penstock(ctx: click.Context, home: str | None) -> None:
    """Run functions and batch jobs on files as they are written."""
    ctx.obj = home


penstock.entries = COMMANDS


def main() -> None:
    """Run the command line of this process, and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; errors are told on standard error."""
    try:
        code = penstock.main(list(arguments), prog_name="penstock", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (``head``, ``less``) has had enough. Python would complain at exit.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Exception, KeyboardInterrupt) as error:
        # The outermost place: what is not meant for people here is a bug, and is told as one.
        return told(error)
    return code if isinstance(code, int) else 0
