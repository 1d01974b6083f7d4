"""What the pump folds once, however often it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.core import identity
from penstock.core.event import FILE_CREATED, FILE_READ, Event, FileRecord, content_id, json_data, notice_id
from penstock.core.rows import DeadLetter, Decision, FileState
from penstock.core.workflow import Trigger
from penstock.server.embedded import build
from penstock.server.parts import Parts
from penstock.server.pump import UNREADABLE
from penstock.server.settings import Settings, places

pytestmark = pytest.mark.anyio
PATH = b"/pnfs/raw/a.nxs"


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    engine = build(Settings(), places(str(tmp_path), {}), lambda _end: None)
    wants = {"prefix": {"subject": "/pnfs/"}}
    trigger = Trigger(id="t", tenant="local", principal="me", name="n/t", filter=wants, workflow="n/t@1")
    engine.parts.triggers.changed(trigger, "t")
    yield engine.parts
    await engine.stop()


def told(version: str | None, id: str, *, type: str = FILE_CREATED, source: str = "/storages/far") -> Event:
    record = FileRecord(storage="far", path=PATH.decode(), size=7, version=version)
    return Event(
        id=id,
        source=source,
        type=type,
        subject=PATH.decode(),
        time="2026-11-21T09:00:00Z",
        data=json_data(record),
    )


def decided(parts: Parts, *events: Event) -> list[str]:
    """Fold each event by itself; return the ids that something was decided for, in order."""
    for event in events:
        parts.pump.fold_batch(parts.log.write([event]))
    return [row.event_id for row in sorted(parts.state.select(Decision), key=lambda row: row.offset)]


VERSIONED = content_id("far", PATH, "0000A1")
BARE = identity.unversioned_id("far", PATH, b"notice 5")


async def test_a_record_delivered_again_changes_nothing(parts: Parts) -> None:
    event = told("0000A1", VERSIONED)
    assert decided(parts, event, event) == [VERSIONED]


async def test_two_sources_that_tell_of_one_write_start_one_run(parts: Parts) -> None:
    assert decided(parts, told("0000A1", VERSIONED), told(None, BARE), told("0000A1", VERSIONED)) == [
        VERSIONED
    ]


async def test_it_is_one_write_also_when_the_notice_without_version_comes_first(parts: Parts) -> None:
    assert decided(parts, told(None, BARE), told("0000A1", VERSIONED), told(None, BARE)) == [BARE]
    row = parts.state.get(FileState, "far", PATH)
    assert row is not None
    assert (row.version, row.event_id) == ("0000A1", BARE)


async def test_a_second_write_and_a_second_read_are_told(parts: Parts) -> None:
    later = content_id("far", PATH, "0000A2")
    reads = [notice_id("far", "read", PATH, bytes([n])) for n in range(2)]
    assert decided(
        parts,
        told("0000A1", VERSIONED),
        told("0000A2", later),
        *(told("0000A2", read, type=FILE_READ) for read in reads),
    ) == [VERSIONED, later, *reads]


async def test_ids_of_different_sources_are_not_confused(parts: Parts) -> None:
    one, other = told(None, "1", source="/one"), told(None, "1", source="/other")
    assert decided(parts, one, other, one) == ["1", "1"]


async def test_what_the_log_cannot_read_is_a_dead_letter(parts: Parts) -> None:
    event = Event(
        id="u",
        source="/log/topic",
        type=UNREADABLE,
        subject="topic/0/7",
        data=json_data({"reason": "the record topic/0/7 cannot be read", "value": "??"}),
    )
    assert decided(parts, event) == []
    (letter,) = parts.state.select(DeadLetter)
    assert (letter.subject, letter.reason) == ("topic/0/7", "the record topic/0/7 cannot be read")
