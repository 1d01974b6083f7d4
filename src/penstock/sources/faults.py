"""What cannot be watched: named in the dead letters, with the remedy."""

from __future__ import annotations

import errno
import time

from penstock.core.errors import Refused
from penstock.core.event import json_data, notice_id, path_members, subject_of
from penstock.core.ports import DeadLetterSink
from penstock.core.rows import DeadLetter, DeadLetterKind
from penstock.sources.limits import raise_watches
from penstock.sources.rescan import Fault


def tell(storage: str, dead_letter: DeadLetterSink, fault: Fault, *, watched: int, starting: bool) -> None:
    """Make a dead letter of a path that cannot be read; the same path makes the same letter.

    Raises:
        Refused: The watches do not even suffice for what is there at the start.
    """
    if fault.number == errno.ENOSPC and starting:
        raise Refused(too_few_watches(fault.path, watched))
    remedy = {
        errno.EACCES: "; let the user that runs Penstock read it (setfacl -m u:USER:rx)",
        errno.ENOSPC: f"; {too_few_watches(fault.path, watched)}",
    }.get(fault.number, "")
    letter = DeadLetter(
        id=notice_id(storage, "unreadable", fault.path),
        tenant="",
        kind=DeadLetterKind.NOTICE,
        subject=subject_of(fault.path),
        reason=f"{shown(fault.path)} is not watched: {fault.reason}{remedy}",
        body=bytes(json_data({"errno": fault.number, **path_members(fault.path)})),
        at_ns=time.time_ns(),
    )
    dead_letter(letter)


def too_few_watches(path: bytes, watched: int) -> str:
    """Return what to say when the kernel allows no further watch."""
    return (
        f"the kernel's watches are used up after {watched} folders, at {shown(path)}; "
        f"raise the limit: {raise_watches(watched)}"
    )


def shown(path: bytes) -> str:
    """Return a path as messages show it."""
    return repr(path.decode("utf-8", "replace"))
