"""``penstock explain``: why did (not) my file run?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click
from rich.text import Text

from penstock.cli import wording
from penstock.cli.lookup import bare
from penstock.cli.screen import lines, note, say, state
from penstock.cli.session import Session, any_path, as_json, session

JSON = dict[str, Any]
NEAREST = 3
"""Triggers that missed the event that are told of one by one; the others are counted by reason."""
NAMES_SHOWN = 3


@rich_click.command()
@rich_click.argument("path", metavar="FILE", type=any_path)
@rich_click.option(
    "--all", "everything", is_flag=True, help="All events about it, and every trigger in full."
)
@as_json
@session
def explain(the: Session, path: Path, everything: bool, as_json: bool) -> None:
    """Say why something ran, or did not run, on a file.

    FILE need not be there any more. Told is what became of its newest content; of the triggers that did not
    want it, those that missed it most nearly come first.
    """
    found = the.client.explain(path, everything=everything)
    if as_json:
        lines([found])
        return
    for sentence in found["told"]:
        say(wording.printable(sentence))
    _triggers(found, everything=everything)
    _events(the, found, path)
    runs = [account["run"] for account in found["triggers"] if account["run"]]
    if runs:
        short = wording.short(runs[0]["id"])
        note(f"look: {the.command(f'runs show {short}')}")


def _triggers(found: JSON, *, everything: bool) -> None:
    missed = [account for account in found["triggers"] if account["miss"] and not account["outcome"]]
    shown = len(missed) if everything or len(missed) <= NEAREST + 1 else NEAREST
    told = {account["trigger"] for account in missed[:shown]}
    for account in found["triggers"]:
        if account not in missed or account["trigger"] in told:
            _account(account)
    left = sum(group["count"] for group in found["misses"]) - shown
    if left > 0:
        say(f"\n{left} more triggers do not match:")
        for group in found["misses"]:
            _group(group, told)


def _group(group: JSON, told: set[str]) -> None:
    names = [bare(name) for name in group["triggers"] if name not in told]
    count = group["count"] - sum(name in told for name in group["triggers"])
    if count:
        more = " …" if count > NAMES_SHOWN else ""
        say(f"  {count:>5}  {group['why']}  ({', '.join(names[:NAMES_SHOWN])}{more})")


def _account(account: JSON) -> None:
    outcome = account["outcome"] or ("wanted" if account["wanted"] else "not wanted")
    say(Text.assemble("\n", (bare(account["trigger"]), "bold"), "  ", state(outcome)))
    for sentence in account["sentences"]:
        say(f"  {wording.printable(sentence)}")
    # The sentences of a miss are those of its tree that fail.
    for line in [] if account["miss"] and not account["outcome"] else account["tree"]:
        say(Text(f"    {line}", style="dim"))
    run = account["run"]
    if run:
        took = wording.span(run["started"], run["ended"])
        say(Text.assemble("  run ", wording.short(run["id"]), "  ", state(run["phase"]), f"  {took}"))
    for output in account["outputs"]:
        say(f"  output {wording.printable(wording.near(output['path']))}")


def _events(the: Session, found: JSON, path: Path) -> None:
    if found["events"]:
        say(f"\n{len(found['events'])} events about it, newest first:")
        for event in found["events"]:
            _event(event)
    elif found["earlier"]:
        count, now = len(found["earlier"]), found["event"]["offset"]
        newer = sum(offset > now for offset in found["earlier"])
        told = ", ".join(f"{n} {word}" for n, word in ((newer, "newer"), (count - newer, "earlier")) if n)
        note(f"{told} event{'s' if count > 1 else ''} about it: {the.command(f'explain {path} --all')}")


def _event(event: JSON) -> None:
    kind = str(event["type"]).removeprefix("penstock.")
    say(f"  {event['offset']:>8}  {wording.moment(event['appended'])}  {kind}")
    runs = {run["id"]: run for run in event["runs"]}
    for decision in event["decisions"]:
        run = runs.get(decision["run"])
        if run is not None:
            say(
                Text.assemble(
                    " " * 12,
                    f"run {wording.short(run['id'])}  ",
                    state(run["phase"]),
                    f"  {bare(run['workflow'])}  {wording.span(run['started'], run['ended'])}",
                )
            )
        else:
            say(Text.assemble(" " * 12, state(decision["outcome"]), f"  {decision['reason']}"))
