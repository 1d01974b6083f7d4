"""``penstock move``: from one machine to a site, with all its history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import rich_click

from penstock.cli import wording
from penstock.cli.lock import held
from penstock.cli.progress import Progress
from penstock.cli.screen import lines, note, say
from penstock.cli.session import Session, as_json, dry_run, session
from penstock.core.errors import Invalid, Refused

if TYPE_CHECKING:
    from penstock.server.site.moving import MovePlan


@rich_click.command()
@rich_click.option(
    "--to-site", is_flag=True, help="To the broker and the database under [kafka] and [postgres]."
)
@dry_run
@as_json
@session
def move(the: Session, to_site: bool, dry_run: bool, as_json: bool) -> None:
    """Move log and state to a broker and a database; Penstock must be stopped.

    It says beforehand what it will do. Interrupted, it is simply given again. What was there stays: the old
    state is set aside under another name, the old log becomes the copy that the page looks at.
    """
    if not to_site:
        raise Invalid("say where to: `penstock move --to-site`")
    settings = the.settings
    if settings.kafka is None or settings.postgres is None:
        raise Refused(f"{the.places.config} has to say where to: set [kafka] and [postgres] in it")
    from penstock.server.site.moving import Move  # needs extras

    moving = Move(settings, the.places)
    with held(the.places):
        planned = moving.plan()
        if as_json:
            lines([msgspec.to_builtins(planned)])
        else:
            _tell(the, planned)
        if planned.against:
            raise Refused("it cannot be moved: " + "; ".join(planned.against))
        if dry_run:
            return
        with Progress() as progress:
            moving.carry_out(lambda what, done, of: progress.step(f"{what}: {done:,} of {of:,}"))
    note(f"moved. Start it on this machine: {the.command('serve')}")
    note("on others: the same settings file, the same folders, `penstock serve --role runs`")


def _tell(the: Session, planned: MovePlan) -> None:
    rows = sum(planned.rows.values())
    say(f"from {planned.log}: {planned.records:,} records, {wording.size(planned.log_bytes)}")
    say(f"  to {planned.topic}, {planned.partitions} partitions, each record with the time that it has")
    say(f"from {the.places.state / 'state.db'}: {rows:,} rows, {wording.size(planned.state_bytes)}")
    say(f"  to {planned.database}")
    if planned.is_copied:
        say("an earlier try has copied everything; the old state is set aside now")
    elif planned.done:
        say(f"an earlier try has brought {planned.done:,} records to the topic; it goes on behind them")
    say(f"it takes about {wording.duration(planned.seconds)}; meanwhile nothing runs and no file is missed:")
    say("  what is written meanwhile is found by comparison when it is started again")
    say("deployed code and what functions printed stay where they are: processes on other machines")
    say(f"  need {the.places.data} and the storage folders under the same paths")
