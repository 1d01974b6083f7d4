"""One identity: whatever order the notices of a write come in, its content is told once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from penstock.core.event import (
    FILE_CREATED,
    FILE_DELETED,
    FILE_READ,
    Event,
    FileRecord,
    content_id,
    json_data,
    notice_id,
)
from penstock.core.identity import JOIN_S, Folded, fold, unversioned_id, version_gone_id
from penstock.core.rows import FileState

PATH = "/raw/scan.h5"
START = datetime(2026, 10, 14, 9, 20, tzinfo=UTC)


class Reader:
    """Folds events as the engine does: an id that was seen is dropped before."""

    def __init__(self) -> None:
        self.row: FileState | None = None
        self.told: list[Event] = []
        self.under: dict[str, str] = {}
        self._seen: set[str] = set()

    def take(self, event: Event) -> Folded | None:
        if event.id in self._seen:
            return None
        self._seen.add(event.id)
        folded = fold(self.row, event, len(self._seen))
        self.row = folded.row or self.row
        if folded.content:
            self.under[event.id] = folded.content
        if not folded.known:
            self.told.append(event)
        return folded


def event(kind: str, identity: str, second: float = 0, **members: object) -> Event:
    record = FileRecord(storage="d", path=PATH, **members)  # type: ignore[arg-type]
    time = (START + timedelta(seconds=second)).isoformat()
    return Event(
        id=identity, source="/storages/d", type=kind, subject=PATH, time=time, data=json_data(record)
    )


def billing(version: str, second: float = 0) -> Event:
    return event(FILE_CREATED, content_id("d", PATH.encode(), version), second, version=version, size=5)


def stated(version: str, second: float = 1) -> Event:
    """What the event stream tells with a look at the namespace, and a rescan too: the file's own time."""
    identity = content_id("d", PATH.encode(), version)
    return event(FILE_CREATED, identity, second, version=version, size=5, mtime_ns=77)


def bare(number: int, second: float = 2, **facts: object) -> Event:
    """A notice of a write of which nothing is known but the path."""
    identity = unversioned_id("d", PATH.encode(), b"channel", b"%d" % number)
    return event(FILE_CREATED, identity, second, **facts)


def gone(version: str, second: float = 10) -> Event:
    identity = version_gone_id("d", PATH.encode(), version)
    return event(FILE_DELETED, identity, second, version=version)


ONE_WRITE = [billing("A"), stated("A"), stated("A"), bare(1), billing("A"), bare(1)]


@given(st.permutations(ONE_WRITE), st.integers(1, len(ONE_WRITE)))
def test_one_write_is_told_once_in_any_order_and_with_any_loss(events: list[Event], arrived: int) -> None:
    reader = Reader()
    for each in events[:arrived]:
        reader.take(each)
    assert len(reader.told) == 1
    assert set(reader.under.values()) == {reader.told[0].id}
    assert reader.row is not None
    versions = any(each.id == content_id("d", PATH.encode(), "A") for each in events[:arrived])
    assert reader.row.version == ("A" if versions else "")
    assert reader.row.event_id == reader.told[0].id


TWO_WRITES = [billing("A"), bare(1, 1), billing("B", 20), bare(2, 21)]


@given(st.permutations(TWO_WRITES), st.integers(3, 4))
def test_of_two_writes_none_is_lost_in_any_order_and_with_any_one_loss(
    events: list[Event], arrived: int
) -> None:
    reader = Reader()
    for each in events[:arrived]:
        reader.take(each)
    assert 2 <= len(reader.told) <= 3


@given(st.permutations(TWO_WRITES), st.integers(1, 4))
def test_a_listing_makes_good_what_was_joined_wrongly(events: list[Event], arrived: int) -> None:
    reader = Reader()
    for each in [*events[:arrived], stated("B", 20)]:
        reader.take(each)
    assert reader.under[stated("B").id] in {each.id for each in reader.told}


@given(st.permutations([billing("A"), billing("B", 20), stated("B", 21), stated("A", 1), gone("A", 15)]))
def test_versions_alone_tell_contents_apart_in_any_order(events: list[Event]) -> None:
    reader = Reader()
    for each in events:
        reader.take(each)
    assert sorted(each.id for each in reader.told) == sorted({each.id for each in events})


def test_a_late_notice_of_older_content_leaves_the_row_alone() -> None:
    reader = Reader()
    reader.take(billing("B", 20))
    folded = reader.take(billing("A", 0))
    assert folded == Folded(content=billing("A").id)
    assert reader.row is not None
    assert reader.row.version == "B"


def test_content_that_replaces_what_is_gone_is_present_whatever_its_clock_says() -> None:
    reader = Reader()
    for each in (billing("A"), gone("A", 30), billing("B", 20)):
        reader.take(each)
    assert reader.row is not None
    assert (reader.row.version, reader.row.present) == ("B", True)


def test_the_end_of_older_content_leaves_the_newer_one_present() -> None:
    reader = Reader()
    for each in (billing("A"), billing("B", 20), gone("A", 19)):
        reader.take(each)
    assert reader.row is not None
    assert (reader.row.version, reader.row.present) == ("B", True)


def test_content_told_after_its_end_stays_gone() -> None:
    reader = Reader()
    reader.take(gone("A"))
    folded = reader.take(billing("A"))
    assert folded is not None
    assert not folded.known
    assert reader.row is not None
    assert not reader.row.present


def test_an_end_is_told_once_with_and_without_version() -> None:
    reader = Reader()
    bare_end = event(FILE_DELETED, notice_id("d", "gone", b"channel", b"9"), 11)
    for each in (billing("A"), gone("A"), bare_end):
        reader.take(each)
    assert [each.type for each in reader.told] == [FILE_CREATED, FILE_DELETED]
    other = Reader()
    for each in (billing("A"), bare_end, gone("A")):
        other.take(each)
    assert [each.type for each in other.told] == [FILE_CREATED, FILE_DELETED]


def test_facts_that_contradict_keep_contents_apart() -> None:
    for facts in ({"size": 6}, {"mtime_ns": 78}):
        reader = Reader()
        reader.take(stated("A"))
        reader.take(bare(1, 2, **facts))
        assert len(reader.told) == 2


def test_notices_far_apart_in_time_are_not_joined() -> None:
    reader = Reader()
    reader.take(billing("A"))
    reader.take(bare(1, JOIN_S + 1))
    assert len(reader.told) == 2


def test_content_that_was_there_before_anybody_asked_is_told_when_it_is_noticed() -> None:
    reader = Reader()
    reader.take(stated("A"))
    assert reader.row is not None
    untold = FileState(
        storage="d", path=PATH.encode(), generation=1, size=5, mtime_ns=77, ctime_ns=reader.row.ctime_ns,
        inode=0, present=True, version="A",
    )  # fmt: skip
    folded = fold(untold, stated("A"))
    assert not folded.known
    assert folded.row is not None
    assert folded.row.event_id == stated("A").id


def test_events_about_no_content_mean_nothing() -> None:
    assert fold(None, event(FILE_READ, "x", version="A")) == Folded()
    assert fold(None, Event(id="x", source="/y", type=FILE_CREATED)) == Folded()
    assert fold(None, event(FILE_CREATED, "x", generation=3)) == Folded()
