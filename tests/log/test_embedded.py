"""What only the log in files does: segments, retention, recovery, one writer, full disks."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from itertools import pairwise
from pathlib import Path
from time import time_ns
from typing import Any

import pytest

from penstock.core.errors import Broken, Conflict, Invalid, Trimmed, Unavailable
from penstock.core.event import EVENT_BYTES_MAX
from penstock.core.ports import Cursor
from penstock.log import embedded
from penstock.log.embedded import EmbeddedLog, LogSettings
from penstock.log.reader import Reader
from penstock.log.segment import frame, segment_bases, segment_path
from penstock.testing.log_suite import first, ids, numbered

TINY = LogSettings(segment_bytes=2000, tail_records=3)
pytestmark = pytest.mark.anyio


async def filled(folder: Path, count: int, settings: LogSettings = TINY, step: int = 5) -> EmbeddedLog:
    log = EmbeddedLog(folder, settings)
    for number in range(0, count, step):
        await log.append(numbered(number, step, size=100))
    return log


def stored(folder: Path) -> list[str]:
    reader = Reader(folder)
    found = ids(list(reader.read(reader.first())))
    reader.close()
    return found


async def test_a_second_writer_is_refused_in_words(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path)
    with pytest.raises(Conflict, match="another process writes the log"):
        EmbeddedLog(tmp_path)
    log.close()
    EmbeddedLog(tmp_path).close()


async def test_an_event_too_large_is_refused_and_takes_nothing_along(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path)
    with pytest.raises(Invalid, match=f"'1' has .* bytes; at most {EVENT_BYTES_MAX}"):
        await log.append([*numbered(0, 1), *numbered(1, 1, size=EVENT_BYTES_MAX)])
    assert log.end() == Cursor((0,))
    await log.append(numbered(7, 1))
    log.close()
    assert stored(tmp_path) == ["7"]


async def test_the_largest_event_is_kept(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path, TINY)
    small = len(frame(0, b"")) + 200
    await log.append(numbered(0, 3, size=EVENT_BYTES_MAX - small))
    assert ids(await first(log, 3)) == ["0", "1", "2"]
    log.close()


async def test_a_large_log_is_cut_into_segments_without_gap(tmp_path: Path) -> None:
    log = await filled(tmp_path, 200)
    assert len(segment_bases(tmp_path)) > 5
    log.close()
    assert stored(tmp_path) == [str(number) for number in range(200)]


async def test_the_end_of_a_roll_is_told_as_durable(tmp_path: Path) -> None:
    told: list[int] = []
    log = EmbeddedLog(tmp_path, TINY, told.append)
    log.write(numbered(0, 50, size=100))
    sync = asyncio.create_task(log.sync())
    await asyncio.sleep(0)
    log.write(numbered(50, 50, size=100))  # written while the sync of the others is under way
    await sync
    assert told[-1] == log.durable_end == 100
    log.close()


async def test_syncs_in_a_thread_survive_the_roll_of_their_segment(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path, TINY)
    for number in range(100):
        log.write(numbered(2 * number, 1, size=1000))
        behind = asyncio.create_task(log.sync())
        await asyncio.sleep(0)
        await log.append(numbered(2 * number + 1, 1, size=1000))
        await behind
    assert log.durable_end == 200
    log.close()


async def test_a_full_disk_while_a_segment_is_begun_lets_the_old_one_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    log = EmbeddedLog(tmp_path, TINY)
    with monkeypatch.context() as patched:
        patched.setattr("penstock.log.embedded.create", full)
        for number in range(50):
            await log.append(numbered(number, 1, size=100))
    assert segment_bases(tmp_path) == [0]
    await log.append(numbered(50, 1))
    assert segment_bases(tmp_path) == [0, 51]
    await log.append(numbered(51, 1))
    log.close()
    assert stored(tmp_path) == [str(number) for number in range(52)]


async def test_a_full_disk_takes_nothing_in_and_leaves_no_half_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = EmbeddedLog(tmp_path)
    await log.append(numbered(0, 3))
    real, room = os.write, 300

    def scarce(file: int, data: Any) -> int:
        nonlocal room
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken, room = bytes(data)[:room], 0
        return real(file, taken)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", scarce)
        with pytest.raises(Unavailable, match=r"disk is full.*goes on by itself"):
            await log.append(numbered(3, 10))
    assert stored(tmp_path) == ["0", "1", "2"]
    await log.append(numbered(3, 2))
    log.close()
    assert stored(tmp_path) == ["0", "1", "2", "3", "4"]


async def test_after_a_failed_sync_nothing_is_promised_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    log = EmbeddedLog(tmp_path)
    following = asyncio.create_task(first(log, 1))
    await asyncio.sleep(0)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", broken)
        with pytest.raises(Broken, match="cannot be synced"):
            await log.append(numbered(0, 1))
    with pytest.raises(Broken, match="cannot be synced"):
        await log.append(numbered(1, 1))  # the kernel may forget the error, we do not
    with pytest.raises(Broken, match="cannot be synced"):
        await log.sync()
    assert log.durable_end == 0
    following.cancel()
    log.close()


async def test_a_follower_ends_when_a_sync_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    log = EmbeddedLog(tmp_path)
    following = asyncio.create_task(first(log, 2))
    await asyncio.sleep(0)
    log.write(numbered(0, 1))
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", broken)
        with pytest.raises(Broken):
            await log.sync()
    with pytest.raises(Broken, match="cannot be synced"):
        await following
    log.close()


# -- torn ends -------------------------------------------------------------------------------------


async def test_a_log_cut_at_any_byte_of_its_last_records_opens_with_the_whole_ones(tmp_path: Path) -> None:
    log = await filled(tmp_path / "log", 6, LogSettings(), step=1)
    log.close()
    path = segment_path(tmp_path / "log", 0)
    whole = path.read_bytes()
    size = len(whole) // 6
    for length in range(len(whole) - 2 * size, len(whole)):
        path.write_bytes(whole[:length])
        log = EmbeddedLog(tmp_path / "log")
        (end,) = log.end().offsets
        assert end == (5 if length >= 5 * size else 4)
        (fresh,) = await log.append(numbered(99, 1))
        assert fresh.offset == end
        log.close()
        assert stored(tmp_path / "log") == [*map(str, range(end)), "99"]


@pytest.mark.parametrize(
    "rest",
    [
        b"\0" * 10_000,
        b"\xff" * 10_000,
        os.urandom(10_000),
        frame(1, b"{}")[:-1],
        b"\1\0\0\0",
        b"\xff\xff\xff\x7f",
    ],
    ids=["zeros", "ones", "noise", "torn", "half-a-header", "absurd-length"],
)
async def test_what_follows_the_last_whole_record_is_cut_off(tmp_path: Path, rest: bytes) -> None:
    (await filled(tmp_path, 5)).close()
    with open(segment_path(tmp_path, 0), "ab") as file:
        file.write(rest)
    assert stored(tmp_path) == [str(number) for number in range(5)]
    log = EmbeddedLog(tmp_path)
    await log.append(numbered(5, 1))
    log.close()
    assert stored(tmp_path) == [str(number) for number in range(6)]


async def test_whole_records_behind_a_flipped_bit_are_kept_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (await filled(tmp_path, 10, LogSettings())).close()
    path = segment_path(tmp_path, 0)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) * 6 // 10 + 50] ^= 4
    path.write_bytes(damaged)
    log = EmbeddedLog(tmp_path)
    (end,) = log.end().offsets
    log.close()
    assert stored(tmp_path) == [str(number) for number in range(end)]
    assert end == 6
    (kept,) = tmp_path.glob("*.cut-6")
    assert path.read_bytes() + kept.read_bytes() == bytes(damaged)
    assert str(kept) in caplog.text


async def test_damage_in_an_older_segment_is_told_and_not_jumped_over(tmp_path: Path) -> None:
    (await filled(tmp_path, 100)).close()
    base = segment_bases(tmp_path)[1]
    damaged = bytearray(segment_path(tmp_path, base).read_bytes())
    damaged[100] ^= 1
    segment_path(tmp_path, base).write_bytes(damaged)
    with pytest.raises(Broken, match=rf"{base:020d}.segment is damaged at record {base}; .*backup"):
        stored(tmp_path)
    assert ids(list(Reader(tmp_path).read(0, base))) == [str(number) for number in range(base)]


async def test_times_never_fall_over_a_restart_right_after_a_roll(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await filled(tmp_path, 20)
    assert segment_path(tmp_path, segment_bases(tmp_path)[-1]).stat().st_size == 0
    last = log.record(19).appended_ns
    log.close()
    monkeypatch.setattr("penstock.log.embedded.time_ns", lambda: 1)  # the machine's clock was set back
    log = EmbeddedLog(tmp_path, TINY)
    (fresh,) = await log.append(numbered(20, 1))
    assert fresh.appended_ns == last
    log.close()


# -- retention and backup --------------------------------------------------------------------------


async def test_the_oldest_segments_go_when_all_are_too_large(tmp_path: Path) -> None:
    log = await filled(tmp_path, 300, LogSettings(segment_bytes=2000, retention_bytes=6000, tail_records=3))
    bases = segment_bases(tmp_path)
    assert bases[0] > 0
    assert sum(path.stat().st_size for path in tmp_path.glob("*.segment")) < 6000 + 2 * 2000
    with pytest.raises(Trimmed, match=f"offset 0; the oldest left is {bases[0]}") as caught:
        await first(log, 1)
    assert caught.value.first == str(bases[0])
    with pytest.raises(Trimmed):
        log.record(0)
    with pytest.raises(Trimmed):
        log.read(0)
    log.close()
    assert stored(tmp_path) == [str(number) for number in range(bases[0], 300)]


async def test_old_segments_go_by_age_and_the_newest_stays(tmp_path: Path) -> None:
    log = await filled(tmp_path, 100, LogSettings(segment_bytes=2000, retention_s=3600))
    bases = segment_bases(tmp_path)
    for base in bases[:3]:
        os.utime(segment_path(tmp_path, base), (0, 0))
    assert log.retain() == bases[3]
    for base in bases[3:]:
        os.utime(segment_path(tmp_path, base), (0, 0))
    assert log.retain() == bases[-1]
    log.close()


async def test_nothing_pinned_goes(tmp_path: Path) -> None:
    settings = LogSettings(segment_bytes=2000, retention_bytes=1)
    log = EmbeddedLog(tmp_path, settings, pinned=lambda: 17)
    for number in range(0, 100, 5):
        await log.append(numbered(number, 5, size=100))
    oldest = segment_bases(tmp_path)[0]
    assert 0 < oldest <= 17
    assert log.retain(18) == oldest
    assert log.retain() > oldest
    log.close()


async def test_a_backup_taken_while_writing_is_a_whole_log(tmp_path: Path) -> None:
    log = await filled(tmp_path / "log", 50)
    copying = asyncio.create_task(log.backup(tmp_path / "copy"))
    for number in range(50, 150):
        await log.append(numbered(number, 1, size=100))
        await asyncio.sleep(0)
    end = await copying
    log.close()
    assert 50 <= end <= 150
    assert stored(tmp_path / "copy") == [str(number) for number in range(end)]
    copy = EmbeddedLog(tmp_path / "copy")
    assert copy.end() == Cursor((end,))
    copy.close()


async def test_a_backup_whose_segments_go_meanwhile_has_no_hole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await filled(tmp_path / "log", 100)
    bases = segment_bases(tmp_path / "log")
    real = shutil.copyfile

    def copy_and_trim(source: Path, target: Path) -> None:
        real(source, target)
        segment_path(tmp_path / "log", bases[2]).unlink(missing_ok=True)

    monkeypatch.setattr(shutil, "copyfile", copy_and_trim)
    end = await log.backup(tmp_path / "copy")
    log.close()
    assert stored(tmp_path / "copy") == [str(number) for number in range(bases[3], end)]


async def test_a_backup_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    log = await filled(tmp_path / "log", 5)
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot be copied"):
        await log.backup(tmp_path / "file" / "copy")
    log.close()


# -- memory ----------------------------------------------------------------------------------------


async def test_large_events_do_not_pile_up_in_memory(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path, LogSettings(tail_records=1000, tail_bytes=100_000))
    for number in range(50):
        await log.append(numbered(number, 1, size=20_000))
    kept = [number for number in range(50) if log._tail.get(number) is not None]
    assert kept == list(range(kept[0], 50))
    assert 0 < len(kept) <= 10
    assert ids(await first(log, 50)) == [str(number) for number in range(50)]
    assert [log.record(number).event.id for number in range(50)] == [str(number) for number in range(50)]
    log.close()


async def test_a_follower_far_behind_gets_pieces_of_limited_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.log.embedded.BATCH_BYTES", 100_000)
    log = EmbeddedLog(tmp_path, LogSettings(tail_records=1))
    await log.append(numbered(0, 50, size=20_000))
    sizes, offset = [], 0
    following = log.follow(Cursor((0,)))
    while offset < 50:
        batch = await anext(following)
        assert batch[0].offset == offset
        offset = batch[-1].offset + 1
        sizes.append(len(batch))
    await following.aclose()  # type: ignore[attr-defined]
    assert max(sizes) <= 6
    log.close()


async def test_large_events_are_there_after_a_restart(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path)
    for number, size in enumerate([10, 300_000, 10, 900_000, 10]):
        await log.append(numbered(number, 1, size=size))
    log.close()
    log = EmbeddedLog(tmp_path)
    assert log.end() == Cursor((5,))
    assert ids(await first(log, 5)) == ["0", "1", "2", "3", "4"]
    log.close()


async def test_bases_rise(tmp_path: Path) -> None:
    log = await filled(tmp_path, 100)
    assert all(before < behind for before, behind in pairwise(segment_bases(tmp_path)))
    log.close()


async def test_a_clock_that_was_once_ahead_does_not_make_everything_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    year_ns = 365 * 86400 * 10**9
    monkeypatch.setattr(embedded, "time_ns", lambda: time_ns() + year_ns)
    log = EmbeddedLog(tmp_path)
    await log.append(numbered(0, 1))
    log.close()
    monkeypatch.setattr(embedded, "time_ns", time_ns)
    log = EmbeddedLog(tmp_path, LogSettings(segment_bytes=1, retention_s=3600.0))
    for number in range(1, 4):
        await log.append(numbered(number, 1))
    assert len(segment_bases(tmp_path)) > 1
    assert log.retain() == 0
    log.close()


async def test_a_clock_that_stands_ahead_at_a_roll_removes_what_the_given_time_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "time_ns", lambda: time_ns() + 365 * 86400 * 10**9)
    later_ns = 0
    settings = LogSettings(segment_bytes=1, retention_s=3600.0)
    log = EmbeddedLog(tmp_path, settings, now=lambda: time_ns() + later_ns)
    for number in range(4):
        await log.append(numbered(number, 1))
    assert log.retain() == 0
    later_ns = 2 * 3600 * 10**9
    assert log.retain() == segment_bases(tmp_path)[-1] > 0
    log.close()
