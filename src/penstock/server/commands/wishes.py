"""What may be asked, and what goes with it."""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct

from penstock.core.event import Event, decode
from penstock.server.ingest import check_depth
from penstock.workflows.deployment import Deployment


class Who(Struct):
    """Everybody who asks says who they are; the API process has checked it."""

    tenant: str
    principal: str


class IngestWish(Who):
    """Take in events (CloudEvents JSON)."""

    events: list[Raw]


class ReceiveWish(Who):
    """Take in what an outside system has posted to a source; ``body`` in base64."""

    source: str
    headers: dict[str, str]
    body: bytes


class DeployWish(Who):
    """Deploy definitions; see ``workflows.deployment``."""

    deployment: Deployment
    existing: bool = False
    dry_run: bool = False


class TriggerWish(Who):
    """Pause, resume, roll back or remove a trigger, by name or id."""

    name: str
    paused: bool | None = None
    catch_up: bool = True
    workflow: str = ""
    filter: dict[str, Any] | None = None


class StartWish(Who):
    """Start a run by hand."""

    workflow: str
    event: Raw = Raw(b"null")
    params: Raw = Raw(b"{}")


class RunWish(Who):
    """Cancel a run, or run it again."""

    run: str
    reason: str = "asked for by a person"
    from_step: str = ""
    whole: bool = False


class LetterWish(Who):
    """Replay or drop a dead letter; ``event`` replaces its event when replayed."""

    id: str
    event: Raw = Raw(b"null")


class ReplayWish(Who):
    """Run a trigger for events of the log, from an offset up to another; at a site, between two times."""

    trigger: str
    since: int
    until: int
    again: bool = False
    dry_run: bool = False
    since_ns: int = 0
    until_ns: int = 0


class LogWish(Who):
    """Ask where a call that is under way writes its log."""

    run: str
    step: str
    attempt: int
    item: int = -1


class ReconcileWish(Who):
    """Compare a folder (percent-encoded; empty for all) of a storage with what is known of it."""

    storage: str
    folder: str = ""
    reason: str = "asked for by a person"
    dry_run: bool = False


class BackupWish(Who):
    """Copy log and state into a folder."""

    folder: str


def given(raw: Raw) -> Event | None:
    """Return the event in a wish, None if there is none.

    Raises:
        Invalid: It is no event.
    """
    if bytes(raw) == b"null":
        return None
    event = decode(raw)
    check_depth(event)
    return event
