"""Whatever notices are lost: after a comparison, what was told is what is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.event import FILE_CREATED, NEW_CONTENT, Event, content_id, file_record, path_of
from penstock.core.identity import fold, version_gone_id
from penstock.core.ports import Listed, Stamp
from penstock.core.reconcile import NOTHING, Merge, is_near, verdict
from penstock.core.rows import FileState
from penstock.sources.file_events import Storage

S = 1_000_000_000
T0 = 1_700_000_000 * S
PATHS = [b"/d/a", b"/d/a.b", b"/d/a/b", b"/d/a/c", b"/d/b", b"/d/\xff"]


def time_of(ns: int) -> str:
    from penstock.core.event import rfc3339

    return rfc3339(ns / S)


class World:
    """A storage with versions, what was told of it, and the ledger that was folded from that."""

    def __init__(self, *, versions: bool = True) -> None:
        self.versions = versions
        self.there: dict[bytes, Listed] = {}
        self.ledger: dict[bytes, FileState] = {}
        self.seen: set[str] = set()
        self.told: list[Event] = []
        self.storage = Storage("s")
        self.number = 0

    def write(self, path: bytes) -> Event:
        self.number += 1
        now = T0 + self.number * 1000 * S
        self.there[path] = Listed(
            path=path, size=self.number, mtime_ns=now, born_ns=now, version=f"v{self.number}"
        )
        version = f"v{self.number}" if self.versions else None
        return self.storage.event(
            FILE_CREATED, path, native=[b"%d" % self.number], time=time_of(now), version=version,
            size=self.number, mtime_ns=now,
        )  # fmt: skip

    def remove(self, path: bytes) -> Event | None:
        found = self.there.pop(path, None)
        if found is None:
            return None
        self.number += 1
        version = found.version if self.versions else None
        time = time_of(T0 + self.number * 1000 * S)
        return self.storage.event(
            "penstock.file.deleted", path, native=[b"%d" % self.number], time=time, version=version
        )

    def fold(self, event: Event) -> None:
        if event.id in self.seen:
            return
        self.seen.add(event.id)
        path = path_of(event.subject or "")
        found = fold(self.ledger.get(path), event)
        if found.row is not None:
            self.ledger[path] = found.row
        if not found.known:
            self.told.append(event)

    def listing(self) -> list[Stamp]:
        return [(path, self.there[path].version) for path in sorted(self.there)]

    def known(self) -> list[Stamp]:
        return [(path, row.version) for path, row in sorted(self.ledger.items()) if row.present]

    def reconcile(self, page: int = 2) -> int:
        """Compare, and return how many differences were told."""
        count = 0
        for difference in list(merged(self.listing(), self.known(), page)):
            found, before = self.there.get(difference), self.ledger.get(difference)
            decided = verdict("s", found, before, since_ns=0, now_ns=T0 + (self.number + 1) * 1000 * S)
            if decided.event is None:
                assert decided.row is None
            elif decided.event.id in self.seen:
                assert decided.row is not None
                self.ledger[difference] = decided.row
            else:
                count += 1
                self.fold(decided.event)
        return count

    def contents(self) -> set[tuple[bytes, str]]:
        """Return what is present by what was told, in the order in which it was told."""
        return {(path, row.version) for path, row in self.ledger.items() if row.present}


def merged(listed: Sequence[Stamp], known: Sequence[Stamp], page: int) -> Iterator[bytes]:
    merge = Merge()
    sides = [iter(cut(listed, page)), iter(cut(known, page + 1))]
    while True:
        if merge.wants_listed:
            merge.listed(next(sides[0], None))
        elif merge.wants_known:
            merge.known(next(sides[1], None))
        else:
            found = merge.differences()
            yield from (each.path for each in found)
            if not merge.wants_listed and not merge.wants_known:
                return


def cut(stamps: Sequence[Stamp], size: int) -> list[Sequence[Stamp]]:
    return [stamps[start : start + size] for start in range(0, len(stamps), size)]


deeds = st.lists(
    st.tuples(st.sampled_from(PATHS), st.booleans(), st.sampled_from(["told", "lost", "late"])), max_size=25
)


@given(deeds, st.booleans())
@settings(deadline=None, max_examples=300)
def test_whatever_is_lost_or_late_what_was_told_is_what_is_there_and_each_content_once(
    done: list[tuple[bytes, bool, str]], versions: bool
) -> None:
    world = World(versions=versions)
    late: list[Event] = []
    for path, is_write, fate in done:
        event = world.write(path) if is_write else world.remove(path)
        if event is None or fate == "lost":
            continue
        late.append(event) if fate == "late" else world.fold(event)
    world.reconcile()
    there = {(path, found.version) for path, found in world.there.items()}
    if versions:
        assert world.contents() == there
        assert {content_id("s", path, version) for path, version in there} <= {each.id for each in world.told}
    else:
        assert {path for path, _ in world.contents()} == {path for path, _ in there}
        newest = {path_of(each.subject or ""): file_record(each).size for each in world.told if is_new(each)}
        assert {path: found.size for path, found in world.there.items()} == {
            path: newest[path] for path in world.there
        }
    count = len(world.told)
    if versions:
        assert world.reconcile() == 0
    for event in late:
        world.fold(event)
    fresh = [each for each in world.told[count:] if is_new(each)]
    assert not {(path_of(each.subject or ""), file_record(each).size) for each in fresh} & {
        (path, found.size) for path, found in world.there.items()
    }
    if versions:
        world.reconcile()
        assert world.contents() == there


def is_new(event: Event) -> bool:
    return event.type in NEW_CONTENT


stamps = st.dictionaries(st.binary(min_size=1, max_size=3), st.integers(0, 2), max_size=20)


@given(stamps, stamps, st.integers(1, 4))
def test_a_merge_finds_just_the_paths_that_differ_in_any_cut(
    listed: dict[bytes, int], known: dict[bytes, int], page: int
) -> None:
    found = list(merged(sorted(listed.items()), sorted(known.items()), page))
    assert found == sorted(path for path in listed | known if listed.get(path) != known.get(path))


def listed(version: str = "v1", *, born: int = T0, native: str = "", size: int = 3) -> Listed:
    return Listed(path=b"/d/f", size=size, mtime_ns=T0, born_ns=born, version=version, native=native)


def test_a_lost_end_has_the_id_that_its_notice_would_have_had() -> None:
    world = World()
    world.fold(world.write(b"/d/a"))
    lost = world.remove(b"/d/a")
    assert lost is not None
    world.reconcile()
    assert world.told[-1].id == lost.id == version_gone_id("s", b"/d/a", "v1")


def test_what_is_older_than_our_asking_is_taken_in_without_an_event() -> None:
    found = verdict("s", listed(), None, since_ns=T0 + 1, now_ns=T0)
    assert found.event is None
    assert found.row is not None
    assert (found.row.event_id, found.row.version, found.row.present) == ("", "v1", True)
    assert verdict("s", listed(), None, since_ns=T0, now_ns=T0).event is not None
    assert verdict("s", listed(), found.row, since_ns=0, now_ns=T0) == NOTHING


def test_content_moved_over_newer_content_is_what_is_known_from_then_on() -> None:
    world = World()
    world.fold(world.write(b"/d/f"))
    world.there[b"/d/f"] = listed("old", born=T0 - 5000 * S)
    assert world.reconcile() == 1
    assert world.contents() == {(b"/d/f", "old")}


def test_content_of_another_etag_is_no_join_however_near() -> None:
    before = FileState(
        storage="s", path=b"/d/f", generation=1, size=3, mtime_ns=0, ctime_ns=T0, inode=0, present=True,
        event_id="x", version="abc-001",
    )  # fmt: skip
    assert verdict("s", listed("", native="abc"), before, since_ns=0, now_ns=T0) == NOTHING
    other = verdict("s", listed("", native="fff"), before, since_ns=0, now_ns=T0).event
    assert other is not None
    assert fold(before, other).known is False


def test_times_are_compared_as_exactly_as_the_notice_told_them() -> None:
    def row(mtime_ns: int) -> FileState:
        return FileState(
            storage="s",
            path=b"/f",
            generation=1,
            size=3,
            mtime_ns=mtime_ns,
            ctime_ns=T0,
            inode=0,
            present=True,
        )

    assert is_near(T0 + 123_456_789, row(T0))
    assert is_near(T0 + 123_456_789, row(T0 + 123_456_000))
    assert not is_near(T0 + 123_456_789, row(T0 + 123_457_000))
    assert not is_near(T0 + 2 * S, row(T0))
    assert is_near(T0 + 4 * S, row(0))
    assert not is_near(T0 + 6 * S, row(0))
