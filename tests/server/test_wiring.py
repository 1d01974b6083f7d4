"""The parts connected: what only their connection decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.core.event import Event
from penstock.core.rows import CursorRow
from penstock.server.embedded import build
from penstock.server.settings import Settings, places

pytestmark = pytest.mark.anyio


async def test_what_was_raised_before_a_commit_is_on_disk_before_it(tmp_path: Path) -> None:
    engine = build(Settings(), places(str(tmp_path), {}), lambda _end: None)
    parts = engine.parts
    try:
        parts.state.put(CursorRow("test", 0, 1))
        parts.outbox.emit(Event(id="raised", source="/penstock", type="test"))
        assert parts.outbox._handle is not None
        parts.outbox._handle.cancel()  # the commit comes first
        await parts.checkpoint.durable()
        assert parts.log.durable_end == 1
    finally:
        await engine.stop()
