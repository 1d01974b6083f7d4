"""What a source knows before its events are folded."""

from __future__ import annotations

import msgspec
import pytest

from penstock.core.rows import FileState
from penstock.server.ledger import PendingLedger
from penstock.testing.state import MemoryState
from penstock.testing.state_suite import file_row

pytestmark = pytest.mark.anyio


def told(path: bytes, generation: int = 1, *, present: bool = True) -> FileState:
    row = file_row(path, generation=generation, present=present)
    return msgspec.structs.replace(row, event_id=f"{path!r} {generation}")


async def test_a_row_whose_event_is_under_way_is_known_here_and_not_in_state() -> None:
    state, touched = MemoryState(), list[bool]()
    ledger = PendingLedger(state, lambda: touched.append(True))
    ledger.put(told(b"/a"))
    assert ledger.file("local", b"/a") == told(b"/a")
    assert state.file("local", b"/a") is None
    assert touched == []
    folded = msgspec.structs.replace(told(b"/a"), offset=7)  # only the log knows where its event is
    ledger.folded(folded)
    assert state.file("local", b"/a") == ledger.file("local", b"/a") == folded


async def test_a_row_without_an_event_goes_to_state_at_once() -> None:
    state, touched = MemoryState(), list[bool]()
    ledger = PendingLedger(state, lambda: touched.append(True))
    ledger.put(file_row(b"/a"))
    assert state.file("local", b"/a") == file_row(b"/a")
    assert touched == [True]


async def test_newer_knowledge_outlives_the_folding_of_older() -> None:
    ledger = PendingLedger(MemoryState(), lambda: None)
    ledger.put(told(b"/a", 1))
    ledger.put(told(b"/a", 2))
    ledger.folded(told(b"/a", 1))
    assert ledger.file("local", b"/a") == told(b"/a", 2)
    ledger.folded(told(b"/a", 2))
    assert ledger.file("local", b"/a") == told(b"/a", 2)


async def test_a_listing_merges_what_is_pending_by_path() -> None:
    state = MemoryState()
    ledger = PendingLedger(state, lambda: None)
    state.put(*(file_row(b"/d/%d" % number) for number in range(0, 10, 2)), file_row(b"/e/0"))
    ledger.put(told(b"/d/1"), told(b"/d/4", 2), told(b"/d/6", 2, present=False), told(b"/d/9"), told(b"/e/1"))
    ledger.put(told(b"/d/-"), told(b"/dd"))
    found = {row.path: row.generation async for row in ledger.files("local", b"/d")}
    assert list(found) == [b"/d/-", b"/d/0", b"/d/1", b"/d/2", b"/d/4", b"/d/8", b"/d/9"]
    assert found[b"/d/4"] == 2
    assert [row.path async for row in ledger.files("other", b"/d")] == []


async def test_stamps_are_those_of_state_and_of_what_is_on_its_way_there() -> None:
    state = MemoryState()
    ledger = PendingLedger(state, lambda: None)
    state.put(*(file_row(path) for path in (b"/d/a", b"/d/c", b"/d/e", b"/other")))
    ledger.put(told(b"/d/b"), told(b"/d/c", 9), told(b"/d/f"), told(b"/d/e", present=False))
    stamps = [each async for page in ledger.stamps("local", b"/d", ("generation",)) for each in page]
    assert stamps == [(b"/d/a", 1), (b"/d/b", 1), (b"/d/c", 9), (b"/d/f", 1)]


async def test_what_nobody_was_told_is_not_known_when_a_source_begins_anew() -> None:
    ledger = PendingLedger(MemoryState(), lambda: None)
    ledger.told("local")
    ledger.put(told(b"/a"), told(b"/b"))
    ledger.told("local")
    ledger.put(told(b"/b", 2), told(b"/c"), told(b"/b", 3))
    ledger.undo("local")
    assert ledger.file("local", b"/a") == told(b"/a")
    assert ledger.file("local", b"/b") == told(b"/b")
    assert ledger.file("local", b"/c") is None
