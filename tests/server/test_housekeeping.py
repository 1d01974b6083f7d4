"""What retention must leave: what somebody still needs."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from penstock.core.errors import Unavailable
from penstock.core.rows import CursorRow, OutputRow
from penstock.server import housekeeping
from penstock.server.housekeeping import forget_outputs, pinned
from penstock.server.parts import Parts
from penstock.state.embedded import EmbeddedState
from penstock.storage.publish import Publisher
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


def published(path: Path, run: str = "forgotten") -> OutputRow:
    return OutputRow(
        path=os.fsencode(path),
        tenant="t",
        run=run,
        subject="s",
        workflow="w",
        offset=1,
        depth=1,
        inode=1,
        published_ns=1,
    )


@pytest.mark.anyio
async def test_who_published_what_is_forgotten_once_it_is_gone(tmp_path: Path) -> None:
    root = tmp_path / "files"
    root.mkdir()
    (root / "there").touch()
    state = EmbeddedState(tmp_path / "state.db")
    state.put(*(published(root / f"gone-{number}") for number in range(700)))
    state.put(published(root / "there"), published(tmp_path / "in no storage"))
    await state.commit()
    publisher = Publisher({"local": os.fsencode(root)}, state, state.commit)
    await forget_outputs(state, publisher.gone, 100)
    kept = [os.fsencode(root / "there"), os.fsencode(tmp_path / "in no storage")]
    assert [row.path for row in state.select(OutputRow)] == sorted(kept)
    (root / "there").unlink()
    root.rename(tmp_path / "away")
    root.mkdir()
    stat = (tmp_path / "away").stat()
    publisher.watched("local", stat.st_dev, stat.st_ino)
    await forget_outputs(state, publisher.gone, 100)
    assert len(state.select(OutputRow)) == 2, "an unmounted disk is no deletion"
    state.close()


@pytest.mark.anyio
async def test_one_tidying_looks_at_so_many_outputs_and_the_next_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "OUTPUTS_MAX", 500)
    state = EmbeddedState(tmp_path / "state.db")
    state.put(*(published(tmp_path / f"{number:04}") for number in range(1200)))
    await state.commit()
    publisher = Publisher({"local": os.fsencode(tmp_path)}, state, state.commit)
    left = []
    for _ in range(3):
        await forget_outputs(state, publisher.gone, 100)
        left.append(len(state.select(OutputRow)))
    assert left == [700, 200, 0]
    state.close()


@pytest.mark.anyio
async def test_at_a_site_it_comes_again_as_records_are_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    behind: list[int] = []
    tidied: list[int] = []

    class FoldingPump:
        folded = 7

        async def reached(self, offset: int) -> None:
            behind.append(offset)
            if len(behind) > 2:
                raise asyncio.CancelledError
            self.folded = offset + 1

    async def tidy(parts: Parts) -> None:
        tidied.append(parts.pump.folded)

    monkeypatch.setattr(housekeeping, "tidy", tidy)
    monkeypatch.setattr(housekeeping, "TIDY_RECORDS", 100)
    with pytest.raises(asyncio.CancelledError):
        await housekeeping.keep_tidy(cast(Parts, SimpleNamespace(pump=FoldingPump())))
    assert (tidied, behind) == ([7, 108, 209], [107, 208, 309])


@pytest.mark.anyio
async def test_a_broker_that_is_away_leaves_it_for_next_time(caplog: pytest.LogCaptureFixture) -> None:
    class Away:
        def retain(self, _pinned: int | None) -> int:
            raise Unavailable("the broker is away")

    keeper = SimpleNamespace(backlog={}, active={})
    parts = SimpleNamespace(
        log=SimpleNamespace(retain=Away().retain, size=lambda: 0),
        registry=SimpleNamespace(triggers={}),
        state=MemoryState(),
        keeper=keeper,
    )
    await housekeeping.tidy(cast(Parts, parts))
    assert "old history stays for now: the broker is away" in caplog.text
