"""``penstock jobs``: steps that went to a batch system."""

from __future__ import annotations

import rich_click

from penstock.cli import wording
from penstock.cli.lookup import bare
from penstock.cli.nouns import Noun
from penstock.cli.screen import Column, show, state
from penstock.cli.session import Session, as_json, session

COLUMNS = (
    Column("STATE", lambda job: state(job["state"])),
    Column("RUN", lambda job: wording.short(job["run"])),
    Column("STEP", lambda job: job["step"] + (f"[{job['item']}]" if job["item"] >= 0 else "")),
    Column("TRY", lambda job: str(job["attempt"])),
    Column("FUNCTION", lambda job: bare(job["function"]), middle=True),
    Column("STARTED", lambda job: wording.moment(job["started"])),
    Column("TOOK", lambda job: wording.span(job["started"], job["ended"])),
    Column("ERROR", lambda job: wording.headline(job["error"]), fold=True),
)


@rich_click.group(cls=Noun)
def jobs() -> None:
    """Steps that went to a batch queue."""


@jobs.command("list")
@as_json
@session
def list_(the: Session, as_json: bool) -> None:
    """List jobs, newest first."""
    empty = "there are no jobs; a step with `batch=batch(…)` becomes one"
    show(the.client.jobs(), COLUMNS, empty, as_json=as_json)
