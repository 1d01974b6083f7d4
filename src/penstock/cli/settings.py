"""``penstock check-settings``: a settings file, whole, before anything is started with it."""

from __future__ import annotations

from pathlib import Path

import rich_click

from penstock.cli.screen import note, say
from penstock.cli.session import Session, existing_file, session
from penstock.server.settings import Settings, load


@rich_click.command("check-settings")
@rich_click.argument("file", metavar="[FILE]", type=existing_file, required=False)
@session
def check_settings(the: Session, file: Path | None) -> None:
    """Check a settings file whole; all faults are told at once.

    FILE is by default the one of this installation. Nothing is connected, and no secret is read: the file
    only says where they are. Exit code 3 if something is wrong.
    """
    place = file or the.places.config
    settings = load(place)
    if not place.exists():
        note(f"{place} is not there; defaults hold")
    say(f"{place} is well: {_summary(settings)}")


def _summary(settings: Settings) -> str:
    log = f"log in Kafka ({settings.kafka.topic})" if settings.kafka is not None else "log on this machine"
    state = "state in PostgreSQL" if settings.postgres is not None else "state on this machine"
    counts = f"{len(settings.storages)} storage folders, {len(settings.sources)} sources"
    return f"{counts}, {log}, {state}"
