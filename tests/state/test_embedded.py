"""What only the state in SQLite does: errors of files, pages against a model, backup."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.core.errors import Broken, Unavailable
from penstock.core.rows import CursorRow, DeadLetter, FileState
from penstock.state.embedded import EmbeddedState
from penstock.testing.state_suite import file_row


@pytest.fixture
def state(tmp_path: Path) -> Iterator[EmbeddedState]:
    state = EmbeddedState(tmp_path / "state.db")
    yield state
    state.close()


def test_a_file_that_is_no_database_is_told_as_damage(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_text("my shopping list " * 1000)
    with pytest.raises(Broken, match=r"state.db is damaged: file is not a database.*backup"):
        EmbeddedState(tmp_path / "state.db")


def test_a_folder_in_its_place_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "state.db").mkdir()
    with pytest.raises(Unavailable, match=r"state.db cannot be written: unable to open"):
        EmbeddedState(tmp_path / "state.db")


@pytest.mark.anyio
async def test_a_full_disk_keeps_the_rows_and_the_next_commit_takes_them(state: EmbeddedState) -> None:
    row = file_row(b"/a")
    state.put(row)
    await state.commit()
    limit = "PRAGMA max_page_count"
    used = state._thread.submit(
        lambda: state._connection.connection.driver_connection.execute(f"{limit}=1").fetchone()[0]  # type: ignore[union-attr]
    ).result()
    many = [file_row(b"/%d" % number + b"x" * 3000) for number in range(200)]
    state.put(*many)
    with pytest.raises(Unavailable, match=r"disk is full.*goes on by itself"):
        await state.commit()
    assert state.dirty
    assert len(state.select(FileState)) == 201
    state._thread.submit(
        lambda: state._connection.connection.driver_connection.execute(f"{limit}={used + 10_000}")  # type: ignore[union-attr]
    ).result()
    await state.commit()
    with closing(sqlite3.connect(state.path)) as other:
        assert other.execute("SELECT count(*) FROM files").fetchone() == (201,)


@pytest.mark.anyio
async def test_a_row_that_no_database_takes_is_our_own_mistake_and_named(state: EmbeddedState) -> None:
    state.put(CursorRow("pump", 0, 1 << 70))
    with pytest.raises(Broken, match=r"a row cannot be written .*OverflowError"):
        await state.commit()
    state.put(CursorRow("pump", 0, 1))
    await state.commit()
    assert state.get(CursorRow, "pump", 0) == CursorRow("pump", 0, 1)


@pytest.mark.anyio
async def test_a_commit_cancelled_while_the_disk_works_loses_nothing(state: EmbeddedState) -> None:
    for number in range(20):
        state.put(CursorRow("pump", number, number))
        commit = asyncio.create_task(state.commit())
        for _ in range(number % 4):
            await asyncio.sleep(0)
        commit.cancel()
        await asyncio.wait([commit])
        assert state.get(CursorRow, "pump", number) == CursorRow("pump", number, number)
    await state.commit()
    with closing(sqlite3.connect(state.path)) as other:
        assert other.execute("SELECT count(*) FROM cursors").fetchone() == (20,)


@pytest.mark.anyio
async def test_a_backup_taken_while_writing_is_one_moment_of_the_state(
    state: EmbeddedState, tmp_path: Path
) -> None:
    state.put(*(CursorRow("pump", number, 0) for number in range(500)))
    await state.commit()
    copying = asyncio.create_task(state.backup(tmp_path / "copy.db"))
    for count in range(1, 20):
        state.put(*(CursorRow("pump", number, count) for number in range(500)))
        await state.commit()
    await copying
    copy = EmbeddedState(tmp_path / "copy.db")
    rows = copy.select(CursorRow)
    copy.close()
    assert len(rows) == 500
    assert len({row.offset for row in rows}) == 1


@pytest.mark.anyio
async def test_a_backup_that_cannot_be_written_says_so(state: EmbeddedState, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no-such-folder"):
        await state.backup(tmp_path / "no-such-folder" / "copy.db")


PATHS = st.binary(max_size=3).map(lambda tail: b"/d" + tail) | st.sampled_from(
    [b"/d/%d" % number for number in range(30)]
)
ROWS = st.lists(
    st.builds(lambda path, count, present: file_row(path, generation=count, present=present), PATHS,
              st.integers(1, 3), st.booleans()), max_size=25,
)  # fmt: skip


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=st.lists(ROWS, min_size=1, max_size=4), page=st.integers(1, 6), last_is_staged=st.booleans())
def test_pages_of_files_agree_with_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[list[FileState]], page: int, last_is_staged: bool
) -> None:
    async def scenario() -> None:
        state = EmbeddedState(tmp_path_factory.mktemp("state") / "state.db")
        model: dict[bytes, FileState] = {}

        async def agree() -> None:
            found = [row async for row in state.files("local", b"/d")]
            below = [model[path] for path in sorted(model) if path.startswith(b"/d/")]
            assert found == [row for row in below if row.present]
            assert state.select(FileState) == [model[path] for path in sorted(model)]

        for number, rows in enumerate(rounds):
            state.put(*rows)
            model |= {row.path: row for row in rows}
            await agree()
            if number + 1 < len(rounds) or not last_is_staged:
                await state.commit(agree)
            await agree()
        state.close()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("penstock.state.pages.FILES_PAGE", page)
        asyncio.run(scenario())


@pytest.mark.anyio
async def test_what_no_column_can_hold_is_kept_as_the_nearest_that_it_can(state: EmbeddedState) -> None:
    row = DeadLetter(
        id="odd", tenant="local", kind="step", subject="half \udc80", reason="", body=b"", at_ns=1 << 70
    )
    state.put(row, DeadLetter(id="good", tenant="local", kind="step", subject="s", reason="r", body=b"b"))
    await state.commit()
    odd, good = state.get(DeadLetter, "odd"), state.get(DeadLetter, "good")
    assert odd is not None
    assert (odd.subject, odd.at_ns) == ("half ?", (1 << 63) - 1)
    assert good is not None
    assert (good.reason, good.body) == ("r", b"b")
