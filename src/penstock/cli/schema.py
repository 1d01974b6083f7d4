"""``penstock schema``."""

from __future__ import annotations

from importlib.resources import files

import rich_click


@rich_click.command()
def schema() -> None:
    """Print the JSON Schema of YAML definitions.

    Editors complete and check with it: put `# yaml-language-server: $schema=FILE` into the first line.
    """
    print((files("penstock.schemas") / "definitions-1.json").read_text(encoding="utf-8"), end="")
