"""``penstock explain``: why did (not) my file run?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import rich_click
from rich.text import Text

from penstock.cli import wording
from penstock.cli.lookup import bare
from penstock.cli.screen import lines, note, say, state
from penstock.cli.session import Session, any_path, as_json, session

JSON = dict[str, Any]


@rich_click.command()
@rich_click.argument("path", metavar="FILE", type=any_path)
@as_json
@session
def explain(the: Session, path: Path, as_json: bool) -> None:
    """Say why something ran, or did not run, on a file.

    FILE need not be there any more.
    """
    found = the.client.explain(path)
    if as_json:
        lines([found])
    else:
        _tell(the, found)


def _tell(the: Session, found: JSON) -> None:
    for sentence in found["told"]:
        say(wording.printable(sentence))
    for account in found["triggers"]:
        _account(account)
    if found["triggers_more"]:
        note(f"{found['triggers_more']} further triggers did not want it; --json has more")
    runs = [account["run"] for account in found["triggers"] if account["run"]]
    if runs:
        short = wording.short(runs[0]["id"])
        note(f"look: {the.command(f'runs show {short}')}")


def _account(account: JSON) -> None:
    outcome = account["outcome"] or ("wanted" if account["wanted"] else "not wanted")
    say(Text.assemble("\n", (bare(account["trigger"]), "bold"), "  ", state(outcome)))
    for sentence in account["sentences"]:
        say(f"  {wording.printable(sentence)}")
    for line in account["tree"]:
        say(Text(f"    {line}", style="dim"))
    run = account["run"]
    if run:
        took = wording.span(run["started"], run["ended"])
        say(Text.assemble("  run ", wording.short(run["id"]), "  ", state(run["phase"]), f"  {took}"))
    for output in account["outputs"]:
        say(f"  output {wording.printable(_near(output['path']))}")


def _near(path: str) -> str:
    """Return a path as seen from here, if that is shorter."""
    near = os.path.relpath(path)
    return near if not near.startswith("..") else path
