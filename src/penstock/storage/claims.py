"""Whose an output's path is: who may replace what, and what followed its folder to another name.

Within the outputs of one content a path has one maker: workflow, step and item.
"""

from __future__ import annotations

import os
import stat
from time import time_ns
from typing import Any, Protocol, TypeVar

from msgspec.structs import replace

from penstock.core.errors import Conflict, Superseded
from penstock.core.event import path_of
from penstock.core.ports import Publication
from penstock.core.rows import FileState, OutputRow, Row
from penstock.storage.place import Place

R = TypeVar("R", bound=Row)


class Claims(Protocol):
    """What is known of paths."""

    def output(self, path: bytes) -> OutputRow | None:
        """Return who published a path last."""

    def file(self, storage: str, path: bytes) -> FileState | None:
        """Return the ledger's row of a path."""

    def select(self, kind: type[R], **equal: Any) -> list[R]:
        """Return rows of a kind."""


def check_claim(claims: Claims, place: Place, publication: Publication, target: bytes) -> None:
    """Return if the publication may put its output at ``target``.

    Raises:
        Conflict: It belongs to somebody else.
        Superseded: It was published from newer content.
    """
    exists = os.path.lexists(target)
    subject = publication.event.subject
    output = claims.output(target)
    if output is None and exists:
        output = _carried(claims, place, target)
        if output is not None and subject:
            output = _as_moved(output, target, subject)
    if output is not None:
        _check_output(publication, target, output, exists)
    elif exists:
        raise Conflict(
            f"{_shown(target)} exists and was not published by Penstock, so it is not replaced. "
            "Move it away, or change the template of the outputs"
        )


def _check_output(publication: Publication, target: bytes, output: OutputRow, exists: bool) -> None:
    event, shown = publication.event, _shown(target)
    of_same = output.subject == event.subject if event.subject else output.event_id == event.id
    if not of_same and exists:
        raise Conflict(
            f"{shown} was published from {output.subject or output.event_id}, and now "
            f"{event.subject or event.id} would replace it. Put what tells them apart, such "
            "as {suffix}, {relative} or {run}, into the template of the outputs"
        )
    if of_same and output.offset > publication.offset:
        raise Superseded(f"{shown} was already published from newer content of the same file")
    made, makes = _maker(output.workflow, output.step, output.item), _maker_of(publication)
    if output.event_id == publication.event.id and made != makes and exists:
        raise Conflict(
            f"{shown} was published by {made}, and now {makes} would replace it. Give one of them "
            "another output name, or another template of the outputs"
        )


def _shown(target: bytes) -> str:
    return target.decode("utf-8", "replace")


# -- what followed its folder ------------------------------------------------------------------------


def _carried(claims: Claims, place: Place, target: bytes) -> OutputRow | None:
    """Return the output that was moved here with its folder, unchanged; None if there is none.

    It has the inode of an output of the same name, as well as the size and time that the ledger has of that
    output's old path; there it is no more, nor is its folder, unless the ledger knows that it moved on.
    """
    now = os.lstat(target)
    if not stat.S_ISREG(now.st_mode):
        return None
    name = os.path.basename(target)
    found = [
        output
        for output in claims.select(OutputRow, inode=now.st_ino)
        if os.path.basename(output.path) == name
        and not os.path.lexists(output.path)
        and _followed(claims.file(place.name, output.path), now)
    ]
    return max(found, key=lambda output: output.published_ns, default=None)


def _followed(before: FileState | None, now: os.stat_result) -> bool:
    if before is None or (before.inode, before.size, before.mtime_ns) != (
        now.st_ino,
        now.st_size,
        now.st_mtime_ns,
    ):
        return False
    told_with_its_folder = not before.present and not before.event_id
    return told_with_its_folder or not os.path.lexists(os.path.dirname(before.path))


def _as_moved(output: OutputRow, target: bytes, subject: str) -> OutputRow:
    """Return the output as if its input had always been where it is now, if it moved along."""
    old, new = _renamed(output.path, target)
    was, now = path_of(output.subject), path_of(subject)
    moved_along = was.startswith(old + b"/") and now == new + was[len(old) :]
    if moved_along and not os.path.lexists(was):
        return replace(output, subject=subject)
    return output


def _renamed(old: bytes, new: bytes) -> tuple[bytes, bytes]:
    """Return the highest folders that were renamed: what is left when equal ends are cut off."""
    before, after = old.split(b"/"), new.split(b"/")
    while len(before) > 1 and len(after) > 1 and before[-1] == after[-1]:
        before.pop()
        after.pop()
    return b"/".join(before), b"/".join(after)


# -- makers ------------------------------------------------------------------------------------------


def output_row(publication: Publication, target: bytes, inode: int) -> OutputRow:
    """Return the row that claims ``target``."""
    step, item = _step_and_item(publication.key)
    return OutputRow(
        path=target,
        tenant=publication.tenant,
        run=publication.run,
        subject=publication.event.subject or "",
        workflow=publication.workflow,
        offset=publication.offset,
        depth=publication.depth,
        inode=inode,
        published_ns=time_ns(),
        event_id=publication.event.id,
        step=step,
        item=item,
    )


def _step_and_item(key: str) -> tuple[str, int]:
    _, step, item, _ = key.rsplit("/", 3)
    return step, int(item)


def _maker(workflow: str, step: str, item: int) -> str:
    place = f" (item {item} of its list)" if item >= 0 else ""
    return f"step {step!r}{place} of workflow {workflow.rsplit('@', 1)[0]!r}"


def _maker_of(publication: Publication) -> str:
    return _maker(publication.workflow, *_step_and_item(publication.key))
