"""The reference of the command line, made from the commands: ``python -m penstock.cli.reference``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from penstock.cli.index import COMMANDS
from penstock.cli.main import penstock

EVERYWHERE = ("help", "home")
"""Options that every command has; the introduction tells of them."""
INTRODUCTION = """\
# Command line

Made from the commands by `python -m penstock.cli.reference`; do not edit.

- Data go to standard output, everything else to standard error. `--json` prints one JSON object on each line,
  with the members of the API's answers; without it there are tables for people, in local time, whose form may
  change.
- Every command has `--help` and `--home DIR`; this, or the variable `PENSTOCK_HOME`, keeps all below one
  folder, in place of the XDG folders.
- Ids may be shortened to a beginning that only one has, names of functions and triggers to their last part.
- `NO_COLOR` turns colours off; states always have a symbol, too.
- Exit codes: 0 done, 1 it was tried and failed, 2 the command line is wrong, 3 refused (change the request),
  4 not available now (try again later), 70 Penstock itself is broken, 130 interrupted.
- Ctrl-C ends a command; what runs in the server goes on, and is named.
"""


def document() -> str:
    """Return the whole reference in Markdown."""
    parts = [INTRODUCTION]
    panel = ""
    for name, entry in COMMANDS.items():
        if entry.panel != panel:
            panel = entry.panel
            parts.append(f"## {panel}\n")
        parts += _command(penstock.load(name), f"penstock {name}")
    return "\n".join(parts)


def _command(command: click.Command, path: str) -> Iterator[str]:
    """Yield the sections of a command and of its verbs."""
    yield f"### {path}\n"
    context = click.Context(command, info_name=path)
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f"```\n{path} {pieces}".rstrip() + "\n```\n"
    yield f"{inspect.cleandoc(command.help or '')}\n"
    if isinstance(command, click.Group):
        for verb in command.list_commands(context):
            child = command.get_command(context, verb)
            assert child is not None
            yield from _command(child, f"{path} {verb}")
        return
    options = [row for parameter in command.get_params(context) for row in _option(parameter, context)]
    if options:
        yield "| option | meaning |\n| --- | --- |\n" + "\n".join(options) + "\n"


def _option(parameter: click.Parameter, context: click.Context) -> Iterator[str]:
    record = parameter.get_help_record(context)
    if record is not None and isinstance(parameter, click.Option) and parameter.name not in EVERYWHERE:
        name, meaning = (re.sub(r"\s+", " ", text).replace("|", "\\|") for text in record)
        yield f"| `{name}` | {meaning} |"


if __name__ == "__main__":
    print(document(), end="")
