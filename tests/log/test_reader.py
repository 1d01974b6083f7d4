"""Reading segments: sparse index, times, other processes, segments that go away."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.core.errors import Trimmed
from penstock.core.event import encode
from penstock.log.embedded import EmbeddedLog, LogSettings
from penstock.log.reader import OPEN_MAX, Reader
from penstock.log.segment import INDEX_EVERY, READ_BYTES, Segment, frame, segment_bases, segment_path
from penstock.testing.log_suite import ids, numbered


def write_segment(folder: Path, base: int, times: list[int]) -> Path:
    path = segment_path(folder, base)
    events = numbered(base, len(times), size=50)
    path.write_bytes(b"".join(frame(ns, encode(event)) for ns, event in zip(times, events, strict=True)))
    return path


class CountedReads:
    """How many bytes were read from files."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        real = os.pread

        def counted(file: int, size: int, position: int) -> bytes:
            found = real(file, size, position)
            self.bytes += len(found)
            return found

        monkeypatch.setattr(os, "pread", counted)


def test_no_folder_of_segments_is_an_empty_log(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    assert list(reader.read(0)) == []
    assert reader.first() == reader.offset_at(1) == 0


def test_a_time_gives_the_first_record_at_or_after_it(tmp_path: Path) -> None:
    write_segment(tmp_path, 0, [10, 20, 20, 20])
    write_segment(tmp_path, 4, [20, 20, 30])
    write_segment(tmp_path, 7, [40])
    write_segment(tmp_path, 8, [])
    wanted = {0: 0, 10: 0, 11: 1, 20: 1, 21: 6, 30: 6, 31: 7, 40: 7, 41: 8}
    reader = Reader(tmp_path)
    assert {ns: reader.offset_at(ns) for ns in wanted} == wanted
    assert {ns: reader.offset_at(ns) for ns in wanted} == wanted


def test_once_walked_a_long_segment_is_entered_near_the_place_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 40_000
    path = write_segment(tmp_path, 0, [1000 + 2 * place for place in range(count)])
    reader = Reader(tmp_path)
    assert len(list(reader.frames(0))) == count
    reads = CountedReads(monkeypatch)
    for offset in (0, 1, INDEX_EVERY, count // 2 + 3, count - 1):
        assert next(reader.frames(offset))[0] == offset
        assert reader.offset_at(1000 + 2 * offset) == offset
        assert reader.offset_at(999 + 2 * offset) == offset
    assert reader.offset_at(1 << 62) == count
    assert path.stat().st_size > 20 * READ_BYTES
    assert reads.bytes < 5 * 6 * READ_BYTES + 2 * READ_BYTES


@pytest.mark.slow
def test_a_million_records_cost_one_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 1_000_000
    body = encode(numbered(0, 1)[0])
    with open(segment_path(tmp_path, 0), "wb") as file:
        for first in range(0, count, 10_000):
            file.write(b"".join(frame(1000 + place, body) for place in range(first, first + 10_000)))
        size = file.tell()
    reader = Reader(tmp_path)
    reads = CountedReads(monkeypatch)
    assert reader.offset_at(1000 + count - 1) == count - 1
    assert reads.bytes < 1.2 * size
    before = reads.bytes
    for place in range(0, count, 9973):
        assert reader.offset_at(1000 + place) == place
    assert reads.bytes - before < 110 * 3 * READ_BYTES


def test_two_readings_at_once_do_not_close_each_other_s_files(tmp_path: Path) -> None:
    segments = OPEN_MAX + 4
    for number in range(segments):
        write_segment(tmp_path, 10 * number, [number] * 10)
    reader = Reader(tmp_path)
    slow = reader.read(0)
    found = [next(slow)]
    assert len(list(reader.read(0))) == 10 * segments  # opens and lets go of more files than are kept
    found += slow
    assert ids(found) == [str(number) for number in range(10 * segments)]


def test_a_reader_holds_few_files_open(tmp_path: Path) -> None:
    for number in range(5 * OPEN_MAX):
        write_segment(tmp_path, number, [number])
    before = len(os.listdir("/proc/self/fd"))
    reader = Reader(tmp_path)
    assert len(list(reader.read(0))) == 5 * OPEN_MAX
    assert len(os.listdir("/proc/self/fd")) - before <= OPEN_MAX + 1
    reader.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_segment_that_goes_while_it_is_read_is_told_as_trimmed(tmp_path: Path) -> None:
    for number in range(3):
        write_segment(tmp_path, 10 * number, [number] * 10)
    reader = Reader(tmp_path)
    reading = reader.read(0)
    assert next(reading).offset == 0
    for base in (0, 10):
        segment_path(tmp_path, base).unlink()
    found: list[int] = []
    with pytest.raises(Trimmed, match="offset 10; the oldest left is 20") as caught:
        found.extend(record.offset for record in reading)
    assert found == list(range(1, 10))
    assert caught.value.first == "20"


def test_frames_larger_than_one_read_are_read_whole(tmp_path: Path) -> None:
    events = numbered(0, 5, size=3 * READ_BYTES)
    segment_path(tmp_path, 0).write_bytes(b"".join(frame(1, encode(event)) for event in events))
    assert [record.event for record in Reader(tmp_path).read(0)] == events


def test_an_absurd_length_costs_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_segment(tmp_path, 0, [1])
    with open(path, "ab") as file:
        file.write(b"\xff\xff\xff\xff" + b"x" * 100)
    asked: list[int] = []
    real = os.pread

    def noted(file: int, size: int, position: int) -> bytes:
        asked.append(size)
        return real(file, size, position)

    monkeypatch.setattr(os, "pread", noted)
    assert Segment(path).extent()[0] == 1
    assert max(asked) < 4 << 20


FOLLOW = """
import sys
from pathlib import Path
from penstock.core.errors import Trimmed
from penstock.log.reader import Reader

reader, offset, last = Reader(Path(sys.argv[1])), 0, int(sys.argv[2])
while offset < last:
    try:
        for record in reader.read(offset):
            assert record.offset == offset == int(record.event.id), (record.offset, offset, record.event.id)
            offset += 1
    except Trimmed as error:
        assert int(error.first) > offset
        offset = int(error.first)
"""


@pytest.mark.anyio
@pytest.mark.parametrize("retention", [1 << 30, 30_000], ids=["all-kept", "segments-go"])
async def test_another_process_reads_whole_records_while_they_are_written(
    tmp_path: Path, retention: int
) -> None:
    log = EmbeddedLog(tmp_path, LogSettings(segment_bytes=5000, retention_bytes=retention))
    count = 3000
    readers = [subprocess.Popen([sys.executable, "-c", FOLLOW, str(tmp_path), str(count)]) for _ in range(2)]
    for number in range(0, count, 3):
        await log.append(numbered(number, 3, size=number % 700), durable=number % 100 == 0)
    for reader in readers:
        assert reader.wait(timeout=30) == 0
    assert (segment_bases(tmp_path)[0] > 0) == (retention == 30_000)
    log.close()
