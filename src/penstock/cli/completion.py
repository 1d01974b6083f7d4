"""``penstock completion``."""

from __future__ import annotations

import os

import click
import rich_click
from click.shell_completion import get_completion_class

from penstock.core.errors import Invalid

SHELLS = ("bash", "zsh", "fish")


@rich_click.command()
@rich_click.argument("shell", required=False, type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str | None) -> None:
    """Print the script that completes commands in a shell.

    For bash: `penstock completion bash > ~/.local/share/bash-completion/completions/penstock`.
    For zsh and fish: put `penstock completion zsh` into a file of your completion folder.
    """
    chosen = shell or os.path.basename(os.environ.get("SHELL", ""))
    kind = get_completion_class(chosen) if chosen in SHELLS else None
    if kind is None:
        raise Invalid(f"no completion for the shell {chosen!r}; name one of {', '.join(SHELLS)}")
    print(kind(ctx.find_root().command, {}, "penstock", "_PENSTOCK_COMPLETE").source())
