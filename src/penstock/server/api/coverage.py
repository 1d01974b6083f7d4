"""Coverage: which trees of storages are known to be complete since when; and comparing one now."""

from __future__ import annotations

import time

import msgspec
from msgspec import Struct

from penstock.core.event import subject_of
from penstock.server.api.desk import Desk
from penstock.server.api.operation import Ask, Noun
from penstock.server.api.shapes.coverage import Coverage, ReconcileAnswer, heard_views, tree_views
from penstock.server.api.shapes.fields import Text
from penstock.server.api.times import when


class CoverageQuery(Struct, kw_only=True):
    """Of which storage; empty for all."""

    storage: Text = ""


class Reconcile(Struct, kw_only=True, forbid_unknown_fields=True):
    """What is compared.

    Attributes:
        storage: Name of the storage.
        folder: Its path; empty for all of the storage.
        dry_run: Only say what would be told; answers when the whole folder was listed.
    """

    storage: Text
    folder: Text = ""
    dry_run: bool = False


async def coverage_of(desk: Desk, storage: str = "") -> Coverage:
    """Return what is known; for status and page, too."""
    trees = await desk.state.trees()
    heard = await desk.state.heard()
    return Coverage(
        trees=tree_views(row for row in trees if storage in ("", row.storage)),
        heard=heard_views(heard, time.time_ns()),
    )


async def shown(ask: Ask) -> Coverage:
    """Say which trees are complete since when, and who is silent."""
    return await coverage_of(ask.desk, ask.query.storage)


async def reconcile(ask: Ask) -> ReconcileAnswer:
    """Compare a folder with what is known of it; what was not told is told."""
    body: Reconcile = ask.body
    folder = subject_of(body.folder.encode("utf-8", "surrogateescape"))
    answer = await ask.desk.link.ask("reconcile", storage=body.storage, folder=folder, dry_run=body.dry_run)
    lost_ns = answer.pop("lost_ns", 0)
    return msgspec.convert({**answer, "lost": when(lost_ns)}, ReconcileAnswer)


OPERATIONS = (
    Noun("/api/v1/coverage").get(
        "Say which trees are complete since when", shown, Coverage, query=CoverageQuery
    ),
    Noun("/api/v1/reconcile").post(
        "Compare a folder of a storage with what is known of it",
        reconcile,
        ReconcileAnswer,
        body=Reconcile,
        errors=(404,),
    ),
)
