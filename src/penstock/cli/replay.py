"""``penstock replay``: a trigger on events of the past."""

from __future__ import annotations

import rich_click

from penstock.cli import wording
from penstock.cli.lookup import bare, trigger_name
from penstock.cli.params import MOMENT
from penstock.cli.screen import lines, note, say
from penstock.cli.session import Session, as_json, dry_run, session
from penstock.core.event import rfc3339

SHOWN = 20


@rich_click.command()
@rich_click.argument("trigger")
@rich_click.option(
    "--since", type=MOMENT, required=True, metavar="WHEN", help="From then on: 10min, 2h, 3d, or a time."
)
@rich_click.option("--until", type=MOMENT, metavar="WHEN", help="Before then; default: now.")
@rich_click.option("--again", is_flag=True, help="Also on events that it has run on.")
@dry_run
@as_json
@session
def replay(
    the: Session,
    trigger: str,
    since: int,
    until: int | None,
    again: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run a trigger again on events of the past.

    Without `--again` only what it has not run on yet, for example because it is newer than those events.
    """
    name = trigger_name(the.client, trigger)
    found = the.client.replay(
        name,
        rfc3339(since / 1e9),
        rfc3339(until / 1e9) if until is not None else "",
        again=again,
        dry_run=dry_run,
    )
    if as_json:
        lines([found])
        return
    for subject in found["events"][:SHOWN]:
        say(wording.path(subject))
    more = found["count"] - SHOWN
    if more > 0:
        say(f"… and {more} more")
    note(f"{bare(name)} wants {found['count']} of the events; {_begun(again, dry_run)}")


def _begun(again: bool, dry_run: bool) -> str:
    begun = "would be run" if dry_run else "are run"
    return f"they {begun} again" if again else f"those it has not run on yet {begun}"
