"""What every state must do: subclass ``StateSuite`` in your tests and say how yours is opened and closed.

::

    class TestMyState(StateSuite):
        def open(self):
            return MyState(self.folder / "state")

        def close(self, state):
            state.close()

``open`` after ``close`` opens the same state again. It needs pytest with anyio.
"""

# ruff: noqa: D102, ARG002 - a suite of tests; their names say what they are about

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.core.errors import Unavailable
from penstock.core.ports import State
from penstock.core.rows import CursorRow, FileState, Intent, OutputRow, Row, RunRow, Seen

ODD = [b"/a", b"/a\n", b"/a\xff", b"/a\xff\0b", b"/a'; --", "/ä\u2028".encode(), b"/" + b"n" * 4000]


def file_row(path: bytes, *, storage: str = "local", generation: int = 1, present: bool = True) -> FileState:
    """Return a row of the ledger."""
    return FileState(
        storage=storage,
        path=path,
        generation=generation,
        size=1 << 62,
        mtime_ns=-1,
        ctime_ns=0,
        inode=(1 << 63) - 1,
        present=present,
    )


def run_row(name: str, phase: str = "running") -> RunRow:
    """Return a row of a run."""
    return RunRow(
        id=name,
        tenant="local",
        workflow="w@1",
        trigger="t",
        event_id="e",
        subject="/s",
        phase=phase,
        started_ns=1,
        ended_ns=0,
        snapshot=b"\xff\0{}",
    )


class StateSuite:
    """The contract of ``core.ports.State``, as tests."""

    folder: Path
    persistent = True
    """Whether the state is the same after ``close`` and ``open``."""

    def open(self) -> Any:
        """Return the state, opened; also called after ``close``."""
        raise NotImplementedError

    def close(self, state: Any) -> None:
        """Let go of the state."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    @pytest.fixture
    def state(self, anyio_backend: object) -> Iterator[State]:
        state = self.open()
        yield state
        self.close(state)

    @pytest.mark.anyio
    async def test_staged_rows_are_read_at_once_and_replaced_by_key(self, state: State) -> None:
        assert not state.dirty
        state.put(CursorRow("pump", 0, 1), CursorRow("pump", 1, 7))
        state.put(CursorRow("pump", 0, 2))
        assert state.dirty
        assert state.get(CursorRow, "pump", 0) == CursorRow("pump", 0, 2)
        assert state.get(CursorRow, "other", 0) is None
        assert state.select(CursorRow) == [CursorRow("pump", 0, 2), CursorRow("pump", 1, 7)]
        await state.commit()
        assert not state.dirty
        assert state.select(CursorRow) == [CursorRow("pump", 0, 2), CursorRow("pump", 1, 7)]

    @pytest.mark.anyio
    async def test_a_later_row_replaces_a_committed_one(self, state: State) -> None:
        for phase in ("running", "failed", "succeeded"):
            state.put(run_row("r", phase))
            assert state.get(RunRow, "r") == run_row("r", phase)
            await state.commit()
            assert state.get(RunRow, "r") == run_row("r", phase)
        assert state.select(RunRow) == [run_row("r", "succeeded")]

    @pytest.mark.anyio
    async def test_a_filter_follows_rows_through_staging_and_writing(self, state: State) -> None:
        state.put(run_row("a"), run_row("b"), run_row("c", "failed"))
        await state.commit()
        state.put(run_row("a", "failed"))

        async def while_writing() -> None:
            state.put(run_row("b", "failed"), run_row("c"))
            assert state.select(RunRow, phase="running") == [run_row("c")]
            assert state.select(RunRow, phase="failed") == [run_row("a", "failed"), run_row("b", "failed")]
            state.put(run_row("a"))
            assert state.select(RunRow, phase="running") == [run_row("a"), run_row("c")]

        await state.commit(while_writing)
        assert state.select(RunRow, phase="running") == [run_row("a"), run_row("c")]
        await state.commit()
        assert state.select(RunRow, phase="failed") == [run_row("b", "failed")]
        assert state.select(RunRow, phase="running", tenant="local") == [run_row("a"), run_row("c")]
        assert state.select(RunRow, phase="running", tenant="other") == []

    @pytest.mark.anyio
    async def test_truth_values_come_back_as_such(self, state: State) -> None:
        intent = Intent(key="k", run="r", tenant="local", moves=b"\0", answer=b"")
        state.put(intent)
        await state.commit()
        assert state.get(Intent, "k") == intent
        assert state.select(Intent, done=False) == [intent]
        assert state.select(Intent, done=True) == []

    @pytest.mark.anyio
    async def test_bytes_and_text_come_back_as_they_were(self, state: State) -> None:
        rows = [file_row(path) for path in ODD]
        seen = [Seen(f"/source {number}\0\n'", path.hex(), number) for number, path in enumerate(ODD)]
        state.put(*rows, *seen)
        await state.commit()
        for row in rows:
            assert state.file("local", row.path) == row
        assert state.select(Seen) == sorted(seen, key=lambda row: row.source)
        assert [row.path async for row in state.files("local", b"/")] == sorted(ODD)

    @pytest.mark.anyio
    async def test_what_is_asked_for_ahead_is_what_is_there_and_staged_rows_come_first(
        self, state: State
    ) -> None:
        there = [file_row(path) for path in ODD]
        state.put(*there, Seen("/source\0", "id", 1), run_row("r"))
        await state.commit()
        state.put(run_row("r", "failed"))
        keys = [("local", path) for path in (*ODD, b"/none")]
        wanted: dict[type[Row], list[tuple[Any, ...]]] = {
            FileState: [*keys],
            Seen: [("/source\0", "id"), ("/source", "none")],
            RunRow: [("r",)],
        }
        await state.prefetch(wanted)
        state.put(file_row(ODD[0], generation=2))
        found = [state.file(*key) for key in keys]
        assert found == [file_row(ODD[0], generation=2), *there[1:], None]
        assert state.get(Seen, "/source\0", "id") == Seen("/source\0", "id", 1)
        assert state.get(Seen, "/source", "none") is None
        assert state.get(RunRow, "r") == run_row("r", "failed")
        await state.commit()
        assert state.file(*keys[0]) == file_row(ODD[0], generation=2)
        assert state.get(RunRow, "r") == run_row("r", "failed")

    @pytest.mark.anyio
    async def test_the_publisher_of_a_path_is_found(self, state: State) -> None:
        row = OutputRow(
            path=ODD[3], tenant="local", run="r", subject="/s", workflow="w@1", offset=3, depth=1, inode=5,
            published_ns=9, event_id="e", step="a", item=4,
        )  # fmt: skip
        assert state.output(ODD[3]) is None
        state.put(row)
        assert state.output(ODD[3]) == row
        await state.commit()
        assert state.output(ODD[3]) == row

    @pytest.mark.anyio
    async def test_files_below_a_folder_are_its_own_present_ones_by_path(self, state: State) -> None:
        inside = [b"/d/a", b"/d/a/b", b"/d/a0", b"/d/\xff", b"/d/.x", b"/d/e/f"]
        outside = [b"/d", b"/d0", b"/d.", b"/da/b", b"/e/d/a"]
        state.put(*(file_row(path) for path in inside[::2] + outside))
        state.put(file_row(b"/d/other", storage="other"), file_row(b"/d/gone", present=False))
        await state.commit()
        state.put(*(file_row(path) for path in inside[1::2]))
        for folder in (b"/d", b"/d/"):
            assert [row.path async for row in state.files("local", folder)] == sorted(inside)
        state.put(file_row(b"/d/a", present=False), file_row(b"/d/a0", generation=2))
        found = [row async for row in state.files("local", b"/d")]
        assert b"/d/a" not in [row.path for row in found]
        assert file_row(b"/d/a0", generation=2) in found
        pages = [page async for page in state.stamps("local", b"/d", ("generation", "version"))]
        stamps = [stamp for page in pages for stamp in page]
        assert stamps == [(row.path, row.generation, row.version) for row in found]

    @pytest.mark.anyio
    async def test_a_commit_waits_for_the_log_and_only_then_is_known_elsewhere(self, state: State) -> None:
        order: list[str] = []
        state.put(CursorRow("pump", 0, 1))

        async def ready() -> None:
            order.append("log synced")

        await state.commit(ready)
        order.append("committed")
        assert order == ["log synced", "committed"]
        await state.commit(ready)
        assert order == ["log synced", "committed"]  # nothing staged: nothing asked

    @pytest.mark.anyio
    async def test_what_a_commit_stages_in_its_turn_goes_with_it_and_what_comes_later_does_not(
        self, state: State
    ) -> None:
        state.put(CursorRow("pump", 0, 1))

        async def meanwhile() -> None:
            state.put(CursorRow("pump", 0, 2))

        await state.commit(meanwhile, lambda: state.put(run_row("a")))
        assert state.dirty
        assert state.get(RunRow, "a") == run_row("a")
        assert state.get(CursorRow, "pump", 0) == CursorRow("pump", 0, 2)
        await state.commit()
        assert not state.dirty

    @pytest.mark.anyio
    @pytest.mark.parametrize("failure", [Unavailable("no log"), asyncio.CancelledError(), RuntimeError("?")])
    async def test_rows_of_a_commit_that_failed_are_committed_by_the_next(
        self, state: State, failure: BaseException
    ) -> None:
        state.put(CursorRow("pump", 0, 1), CursorRow("pump", 1, 1))

        async def fails() -> None:
            state.put(CursorRow("pump", 1, 2), CursorRow("pump", 2, 2))
            raise failure

        with pytest.raises(type(failure)):
            await state.commit(fails)
        assert state.dirty
        expected = [CursorRow("pump", 0, 1), CursorRow("pump", 1, 2), CursorRow("pump", 2, 2)]
        assert state.select(CursorRow) == expected
        await state.commit()
        assert state.select(CursorRow) == expected
        assert not state.dirty

    @pytest.mark.anyio
    async def test_commits_asked_for_at_once_come_one_after_the_other(self, state: State) -> None:
        async def work(number: int) -> None:
            for count in range(20):
                state.put(CursorRow(f"reader {number}", 0, count))
                await state.commit()
                row = state.get(CursorRow, f"reader {number}", 0)
                assert row is not None
                assert row.offset == count

        await asyncio.gather(*(work(number) for number in range(5)))

    @pytest.mark.anyio
    async def test_what_was_committed_is_there_when_opened_again(self, anyio_backend: object) -> None:
        if not self.persistent:
            pytest.skip("this state forgets")
        chance = random.Random(1)  # noqa: S311 - the same rows each time
        state = self.open()
        state.put(*(file_row(b"/%d" % chance.randrange(1000)) for _ in range(500)))
        await state.commit()
        state.put(CursorRow("pump", 0, 1))
        kept = state.select(FileState)
        self.close(state)
        state = self.open()
        assert state.select(FileState) == kept
        assert state.get(CursorRow, "pump", 0) is None
        self.close(state)
