"""What retention must leave: what somebody still needs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from penstock.core.rows import CursorRow
from penstock.server.housekeeping import pinned
from penstock.server.parts import Parts
from penstock.testing.state import MemoryState


@dataclasses.dataclass
class Needs:
    """Offsets that are needed, by whom."""

    folder: Path
    paused: list[int] = dataclasses.field(default_factory=list)
    waiting: list[int] = dataclasses.field(default_factory=list)
    active: list[int] = dataclasses.field(default_factory=list)
    behind: list[int] = dataclasses.field(default_factory=list)
    retention_bytes: int = 1000

    def pinned(self) -> int | None:
        state = MemoryState()
        for number, offset in enumerate(self.behind):
            state.put(CursorRow(f"catch-up/{number}", 0, offset), CursorRow(f"catch-up/{number}", 1, 1 << 40))
        triggers: dict[str, Any] = {
            str(offset): SimpleNamespace(paused=True, since=offset) for offset in self.paused
        }
        triggers["goes on"] = SimpleNamespace(paused=False, since=0)
        keeper = SimpleNamespace(
            backlog={str(offset): SimpleNamespace(offset=offset) for offset in self.waiting},
            active={
                str(offset): SimpleNamespace(run=SimpleNamespace(offset=offset)) for offset in self.active
            },
        )
        parts = SimpleNamespace(
            registry=SimpleNamespace(triggers=triggers),
            log=SimpleNamespace(
                size=lambda: sum(each.stat().st_size for each in self.folder.glob("*.segment"))
            ),
            settings=SimpleNamespace(log=SimpleNamespace(retention_bytes=self.retention_bytes)),
            state=state,
            keeper=keeper,
        )
        return pinned(cast(Parts, parts))


def test_nothing_is_pinned_when_nobody_needs_anything(tmp_path: Path) -> None:
    assert Needs(tmp_path).pinned() is None


@pytest.mark.parametrize("who", ["paused", "waiting", "active", "behind"])
def test_the_oldest_offset_that_is_needed_is_pinned_for(tmp_path: Path, who: str) -> None:
    needs = Needs(tmp_path, **{other: [50] for other in ("paused", "waiting", "active", "behind")})  # type: ignore[arg-type]
    setattr(needs, who, [70, 7])
    assert needs.pinned() == 7


def test_a_paused_trigger_pins_up_to_half_of_the_room_and_waiting_runs_always(tmp_path: Path) -> None:
    needs = Needs(tmp_path, paused=[7], waiting=[50])
    (tmp_path / "0.segment").write_bytes(b"x" * 500)
    assert needs.pinned() == 7
    (tmp_path / "1.segment").write_bytes(b"x")
    assert needs.pinned() == 50
