"""dCache's event streams, against the simulated frontend over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from penstock.core.event import FILE_CREATED, content_id, file_record
from penstock.core.identity import version_gone_id
from penstock.core.ports import SourceContext
from penstock.outside.secret import Secret
from penstock.sources.dcache.settings import DCacheSseSettings
from penstock.sources.dcache.streams import DCacheSseSource
from penstock.testing.dcache.following import Following
from penstock.testing.dcache.frontend import Frontend, Trouble
from penstock.testing.ledger import MemoryLedger

pytestmark = pytest.mark.anyio
ROOT = "/pnfs/example.org"
RAW = f"{ROOT}/p11/raw"
SENTINEL = "zz-sentinel"


class Scene:
    """A frontend, and a source that follows ``/p11/raw`` of it."""

    def __init__(self, frontend: Frontend, token: Path) -> None:
        self.frontend = frontend
        self.tree = frontend.namespace
        self.token = token
        self._sentinels = 0

    def settings(self, **given: Any) -> DCacheSseSettings:
        wanted = {"storage": "d", "folders": ("/p11/raw",), "pair_s": 0.05, **given}
        return DCacheSseSettings(frontend=self.frontend.address, token=Secret(file=str(self.token)), **wanted)

    def follow(self, ledger: MemoryLedger | None = None, **given: Any) -> Following:
        settings = self.settings(**given)

        def make(context: SourceContext) -> DCacheSseSource:
            return DCacheSseSource.open(settings, context)

        return Following(make, ledger)

    async def settled(self, following: Following) -> list[tuple[str, str]]:
        """Return what was told until a file written now is told of, that file left out."""
        self._sentinels += 1
        name = f"{SENTINEL}-{self._sentinels}"
        self.tree.upload(f"{RAW}/{name}", b"now")
        await following.until(lambda: ("created", name) in following.kinds())
        return [(kind, each) for kind, each in following.kinds() if SENTINEL not in each]

    def queries(self, name: str) -> int:
        """Return how often the namespace was asked for an entry of this name."""
        return sum(1 for call in self.frontend.calls if f"/{name}?" in call and "/namespace/" in call)


@asynccontextmanager
async def scene(tmp_path: Path, **given: Any) -> AsyncIterator[Scene]:
    token = tmp_path / "token"
    token.write_text("token\n")
    frontend = Frontend(root=ROOT, **given)
    frontend.namespace.make_folder(RAW, parents=True)
    async with frontend:
        yield Scene(frontend, token)


async def test_an_upload_is_told_once_under_the_id_that_billing_gives_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow() as following:
        await following.ready()
        entry = here.tree.upload(f"{RAW}/scan_über 1.h5", b"data", modifies=2, attributes=2)
        assert await here.settled(following) == [("created", "scan_über 1.h5")]
        event = following.told[0]
        record = file_record(event)
        assert event.id == content_id("d", entry.path.encode(), entry.pnfsid)
        assert event.subject == f"{RAW}/scan_%C3%BCber%201.h5"
        assert event.partitionkey == RAW
        assert (record.size, record.version) == (4, entry.pnfsid)
        assert record.mtime_ns == entry.mtime_ms * 1_000_000
        assert record.checksum == {"adler32": entry.checksum}
        assert record.owner == {"uid": 1042, "gids": [2042]}
        assert record.origin["inotify"]["event"] == {"name": "scan_über 1.h5", "mask": ["IN_CLOSE_WRITE"]}
        assert record.origin["namespace"]["fileLocality"] == "ONLINE"
        assert here.queries("scan_%C3%BCber%201.h5") == 1


async def test_each_change_of_a_file_is_told(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow() as following:
        await following.ready()
        first = here.tree.upload(f"{RAW}/a", b"1")
        await here.settled(following)
        here.tree.upload(f"{RAW}/a", b"22")
        await here.settled(following)
        here.tree.move(f"{RAW}/a", f"{RAW}/b")
        await here.settled(following)
        here.tree.arrive(f"{RAW}/srm.root", b"333")
        here.tree.remove(f"{RAW}/b")
        assert await here.settled(following) == [
            ("created", "a"),
            ("deleted", "a"),
            ("created", "a"),
            ("moved", "a"),
            ("created", "b"),
            ("created", "srm.root"),
            ("deleted", "b"),
        ]
        assert version_gone_id("d", f"{RAW}/a".encode(), first.pnfsid) in {each.id for each in following.told}
        moved = next(each for each in following.told if each.subject == f"{RAW}/b")
        assert file_record(moved).moved_from == f"{RAW}/a"


async def test_a_failed_upload_tells_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow() as following:
        await following.ready()
        here.tree.fail_upload(here.tree.begin_upload(f"{RAW}/broken"))
        assert await here.settled(following) == []


async def test_a_file_moved_out_of_what_is_watched_is_gone(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow() as following:
        await following.ready()
        here.tree.upload(f"{RAW}/a", b"1")
        await here.settled(following)
        here.tree.move(f"{RAW}/a", f"{ROOT}/a")
        await following.until(lambda: following.kinds()[-1] == ("deleted", "a"))


async def test_a_file_that_is_moved_away_and_back_is_told_each_time(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow() as following:
        await following.ready()
        here.tree.upload(f"{RAW}/a", b"1")
        for _ in range(2):
            await here.settled(following)
            here.tree.move(f"{RAW}/a", f"{RAW}/b")
            await here.settled(following)
            here.tree.move(f"{RAW}/b", f"{RAW}/a")
        here.tree.make_folder(f"{RAW}/deep")
        await here.settled(following)
        here.tree.remove(f"{RAW}/a")
        there = [("moved", "a"), ("created", "b")]
        back = [("moved", "b"), ("created", "a")]
        assert await here.settled(following) == [
            ("created", "a"), *there, *back, *there, *back, ("deleted", "a"),
        ]  # fmt: skip


async def test_a_folder_that_is_renamed_and_back_tells_its_files_each_time(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow() as following:
        here.tree.make_folder(f"{RAW}/one")
        await following.ready()
        here.tree.upload(f"{RAW}/one/a", b"1")
        await following.until(lambda: f"{RAW}/one/a" in following.rows())
        here.tree.move(f"{RAW}/one", f"{RAW}/two")
        await following.until(lambda: f"{RAW}/two/a" in following.rows())
        here.tree.move(f"{RAW}/two", f"{RAW}/one")
        await following.until(lambda: f"{RAW}/one/a" in following.rows())
        assert f"{RAW}/two/a" not in following.rows()
        assert [kind for kind, name in following.kinds() if name == "a"] == ["created"] * 3


async def test_ignored_names_are_nobodys_business(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow(ignore=("*.tmp", "scratch/**")) as following:
        here.tree.make_folder(f"{RAW}/scratch")
        await following.ready()
        here.tree.upload(f"{RAW}/scratch/a", b"1")
        here.tree.upload(f"{RAW}/a.tmp", b"1")
        here.tree.move(f"{RAW}/a.tmp", f"{RAW}/a")
        assert await here.settled(following) == [("created", "a")]
        assert not [call for call in here.frontend.calls if "scratch" in call]


async def test_reads_are_told_where_they_are_wanted(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow(reads=True) as following:
        await following.ready()
        here.tree.upload(f"{RAW}/a", b"1")
        here.tree.read(f"{RAW}/a")
        here.tree.read(f"{RAW}/a")
        here.tree.list(RAW)
        assert await here.settled(following) == [("created", "a"), ("read", "a"), ("read", "a")]


# -- folders -----------------------------------------------------------------------------------------


async def test_new_folders_are_watched_and_nothing_falls_between(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow() as following:
        await following.ready()
        here.tree.make_folder(f"{RAW}/one/two/three", parents=True)
        here.tree.upload(f"{RAW}/one/two/three/early", b"1")
        await following.until(lambda: ("created", "early") in following.kinds())
        here.tree.upload(f"{RAW}/one/two/three/late", b"1")
        here.tree.upload(f"{RAW}/one/middle", b"1")
        await following.until(lambda: {("created", "late"), ("created", "middle")} <= {*following.kinds()})
        assert sorted(await here.settled(following)) == [
            ("created", "early"), ("created", "late"), ("created", "middle"),
        ]  # fmt: skip


async def test_a_renamed_folder_is_one_event_and_its_files_are_told_at_their_new_paths(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as here, here.follow() as following:
        here.tree.make_folder(f"{RAW}/old/deep", parents=True)
        await following.ready()
        here.tree.upload(f"{RAW}/old/deep/a", b"1")
        await following.until(lambda: ("created", "a") in following.kinds())
        here.tree.move(f"{RAW}/old", f"{RAW}/new")
        await following.until(lambda: f"{RAW}/new/deep/a" in following.rows())
        here.tree.upload(f"{RAW}/new/deep/b", b"1")
        await following.until(lambda: f"{RAW}/new/deep/b" in following.rows())
        assert await here.settled(following) == [
            ("created", "a"), ("moved", "old"), ("created", "a"), ("created", "b"),
        ]  # fmt: skip
        assert not [path for path in following.rows() if path.startswith(f"{RAW}/old")]


async def test_a_folder_moved_out_takes_its_files_along(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow() as following:
        here.tree.make_folder(f"{RAW}/old/deep", parents=True)
        await following.ready()
        here.tree.upload(f"{RAW}/old/deep/a", b"1")
        await following.until(lambda: ("created", "a") in following.kinds())
        here.tree.move(f"{RAW}/old", f"{ROOT}/elsewhere")
        await following.until(lambda: ("deleted", "a") in following.kinds())
        here.tree.upload(f"{ROOT}/elsewhere/deep/b", b"1")
        assert await here.settled(following) == [("created", "a"), ("deleted", "a")]


async def test_a_folder_moved_in_is_found_with_all_that_is_in_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow() as following:
        await following.ready()
        here.tree.make_folder(f"{ROOT}/elsewhere/deep", parents=True)
        here.tree.upload(f"{ROOT}/elsewhere/deep/a", b"1")
        here.tree.move(f"{ROOT}/elsewhere", f"{RAW}/here")
        await following.until(lambda: f"{RAW}/here/deep/a" in following.rows())


async def test_large_folders_are_listed_in_pages(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        for number in range(25):
            here.tree.upload(f"{RAW}/{number}", b"1")
        async with here.follow(page=10, existing=True) as following:
            await following.ready()
            assert {name for _, name in following.kinds()} == {str(number) for number in range(25)}


# -- beginning, breaking, coming back ----------------------------------------------------------------


async def test_what_is_there_at_the_first_start_is_taken_in_without_events(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        here.tree.upload(f"{RAW}/before", b"1")
        async with here.follow() as following:
            await following.ready()
            assert await here.settled(following) == []
            assert f"{RAW}/before" in following.rows()
            here.tree.remove(f"{RAW}/before")
            assert await here.settled(following) == [("deleted", "before")]


async def test_a_broken_stream_goes_on_where_it_broke(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow() as following:
        await following.ready()
        here.tree.upload(f"{RAW}/a", b"1")
        await here.settled(following)
        here.frontend.disconnect()
        here.tree.upload(f"{RAW}/b", b"1")
        await following.until(lambda: len(following.failures) == 1)
        assert await here.settled(following) == [("created", "a"), ("created", "b")]
        assert len(here.frontend.channels) == 1
        assert not following.losses


async def test_without_a_number_to_come_back_to_everything_is_listed(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow() as following:
        here.frontend.troubles.append(Trouble("subscriptions/metronome", status=404))
        await following.ready()
        here.frontend.disconnect()
        here.tree.upload(f"{RAW}/a", b"1")
        await following.until(lambda: f"{RAW}/a" in following.rows())
        assert len(following.losses) == 1
        assert len(here.frontend.channels) == 1


async def test_a_channel_is_kept_no_longer_than_the_frontend_allows(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow(channel_s=3600) as following:
        here.frontend.events.timeout_s_max = 600
        await following.ready()
        (channel,) = here.frontend.channels.values()
        assert channel.timeout_s == 600


async def test_a_restart_comes_back_to_the_channel(tmp_path: Path) -> None:
    ledger = MemoryLedger()
    async with scene(tmp_path) as here:
        async with here.follow(ledger) as following:
            await following.ready()
            here.tree.upload(f"{RAW}/a", b"1")
            await here.settled(following)
        here.tree.upload(f"{RAW}/b", b"1")
        here.tree.remove(f"{RAW}/a")
        here.tree.make_folder(f"{RAW}/new")
        here.tree.upload(f"{RAW}/new/c", b"1")
        async with here.follow(ledger) as again:
            await again.until(
                lambda: {("deleted", "a"), ("created", "b"), ("created", "c")} <= {*again.kinds()}
            )
            assert len(again.kinds()) == 3 + sum(SENTINEL in name for _, name in again.kinds())
            assert not again.losses
        assert len(here.frontend.channels) == 1


async def test_a_channel_that_ended_is_replaced_and_everything_is_listed(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow() as following:
        await following.ready()
        here.tree.upload(f"{RAW}/a", b"1")
        await here.settled(following)
        (channel,) = here.frontend.channels.values()
        here.frontend.expire(channel)
        here.tree.upload(f"{RAW}/b", b"1")
        await following.until(lambda: f"{RAW}/b" in following.rows())
        assert [loss.folder for loss in following.losses] == [RAW.encode()]
        assert "channel had ended" in following.losses[0].reason


async def test_lost_events_are_found_by_listing(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow() as following:
        await following.ready()
        await here.settled(following)
        (channel,) = here.frontend.channels.values()
        here.frontend.disconnect()
        here.tree.make_folder(f"{RAW}/new")
        entry = here.tree.upload(f"{RAW}/new/a", b"1")
        channel.forget()
        await following.until(lambda: f"{RAW}/new/a" in following.rows())
        assert following.told[-1].id == content_id("d", entry.path.encode(), entry.pnfsid)
        await following.until(lambda: bool(following.losses))
        assert following.losses[0].folder == RAW.encode()


async def test_an_order_to_reconcile_finds_the_difference_and_only_that(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow() as following:
        here.tree.make_folder(f"{RAW}/deep")
        await following.ready()
        for name in ("kept", "gone", "changed"):
            here.tree.upload(f"{RAW}/deep/{name}", b"1")
        await following.until(lambda: len(following.rows()) == 3)
        await following.stop()
        (channel,) = here.frontend.channels.values()
        channel.watches.clear()
        here.tree.remove(f"{RAW}/deep/gone")
        here.tree.upload(f"{RAW}/deep/changed", b"22")
        here.tree.upload(f"{RAW}/deep/new", b"1")
        here.tree.upload(f"{RAW}/elsewhere", b"1")
        source = following.source
        assert isinstance(source, DCacheSseSource)
        told = [event async for batch in source.reconcile(f"{RAW}/deep".encode()) for event in batch]
        assert sorted((each.type[14:], file_record(each).path.rpartition("/")[2]) for each in told) == [
            ("created", "changed"), ("created", "new"), ("deleted", "gone"),
        ]  # fmt: skip
        assert [event async for batch in source.reconcile(b"/no/where") for event in batch] == []


async def test_what_was_deleted_while_nobody_listened_is_told(tmp_path: Path) -> None:
    ledger = MemoryLedger()
    async with scene(tmp_path) as here:
        async with here.follow(ledger) as following:
            await following.ready()
            here.tree.upload(f"{RAW}/a", b"1")
            here.tree.upload(f"{RAW}/b", b"1")
            await here.settled(following)
        (channel,) = here.frontend.channels.values()
        here.frontend.expire(channel)
        gone = here.tree.remove(f"{RAW}/a")
        async with here.follow(ledger) as again:
            await again.ready()
            assert again.kinds() == [("deleted", "a")]
            assert again.told[0].id == version_gone_id("d", f"{RAW}/a".encode(), gone.pnfsid)


async def test_a_folder_that_is_away_is_no_deletion_of_its_files(tmp_path: Path) -> None:
    ledger = MemoryLedger()
    async with scene(tmp_path) as here:
        async with here.follow(ledger) as following:
            await following.ready()
            here.tree.upload(f"{RAW}/a", b"1")
            await here.settled(following)
        (channel,) = here.frontend.channels.values()
        here.frontend.expire(channel)
        here.tree.move(RAW, f"{ROOT}/away")
        async with here.follow(ledger) as again:
            await again.until(lambda: bool(again.failures))
            assert "cannot be watched" in str(again.failures[0])
            assert again.kinds() == []


async def test_an_overflow_lists_the_folder_it_is_about(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow() as following:
        deep = here.tree.make_folder(f"{RAW}/deep")
        await following.ready()
        await here.settled(following)
        (channel,) = here.frontend.channels.values()
        channel.faults.lose = 1_000
        here.tree.make_folder(f"{RAW}/deep/er")
        here.tree.upload(f"{RAW}/deep/er/a", b"1")
        channel.faults.lose = 0
        channel.overflow(deep.pnfsid)
        await following.until(lambda: f"{RAW}/deep/er/a" in following.rows())
        assert [loss.folder for loss in following.losses] == [f"{RAW}/deep".encode()]


async def test_a_rival_gets_the_channel_and_we_make_another(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow() as following:
        await following.ready()
        await here.settled(following)
        (channel,) = here.frontend.channels.values()
        rival = channel.open(None)
        await following.until(lambda: bool(following.failures))
        assert "another client took the event channel" in str(following.failures[0])
        here.tree.upload(f"{RAW}/a", b"1")
        await following.until(lambda: f"{RAW}/a" in following.rows())
        assert len(here.frontend.channels) == 2
        assert not rival.closed


async def test_a_frontend_that_restarts_is_come_back_to(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow() as following:
        await following.ready()
        await here.settled(following)
        await here.frontend.stop()
        await following.until(lambda: any("shutting down" in str(each) for each in following.failures))
        here.tree.upload(f"{RAW}/meanwhile", b"1")
        await here.frontend.start()
        await following.until(lambda: f"{RAW}/meanwhile" in following.rows())


async def test_doubled_and_reordered_events_tell_the_same(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow() as following:
        await following.ready()
        (channel,) = here.frontend.channels.values()
        channel.faults.double = 10
        here.tree.upload(f"{RAW}/a", b"1")
        await here.settled(following)
        channel.faults.double = 0
        channel.faults.hold = 4
        here.tree.upload(f"{RAW}/b", b"1")
        here.tree.upload(f"{RAW}/b", b"22")
        channel.faults.hold = 0
        for held in reversed(channel.faults.held):
            channel._publish(*held)
        told = await here.settled(following)
        assert told.count(("created", "a")) == 1
        assert following.rows()[f"{RAW}/b"].size == 2


async def test_a_stop_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    ledger = MemoryLedger()
    async with scene(tmp_path) as here:
        names = set()
        for life in range(4):
            async with here.follow(ledger) as following:
                await following.ready()
                for number in range(30):
                    names.add(f"{life}-{number}")
                    here.tree.upload(f"{RAW}/{life}-{number}", b"1")
                await following.until(lambda following=following: len(following.told) > 3)  # type: ignore[misc]
        async with here.follow(ledger) as following:
            await following.until(lambda: names <= {path.rpartition("/")[2] for path in following.rows()})


# -- what goes wrong ---------------------------------------------------------------------------------


async def test_a_refused_token_says_where_it_is_kept(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        here.token.write_text("stale")
        async with here.follow() as following:
            await following.until(lambda: bool(following.failures))
            assert str(here.token) in str(following.failures[0])
            assert "renew it" in str(following.failures[0])
            assert "stale" not in str(following.failures[0])
            here.token.write_text("token")
            await following.ready()


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow(folders=("/p11/raw", "/no/where")) as following:
        await following.until(lambda: bool(following.failures))
        assert f"{ROOT}/no/where cannot be watched" in str(following.failures[0])
        assert following.failures[0].retry_after_s == 60
        here.tree.make_folder(f"{ROOT}/no/where", parents=True)
        await following.ready()
        assert len(here.frontend.channels) == 1


async def test_too_many_folders_are_one_letter_in_words(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        here.frontend.events.watches_max = 2
        for number in range(4):
            here.tree.make_folder(f"{RAW}/{number}")
        async with here.follow() as following:
            await following.ready()
            assert len({letter.id for letter in following.letters}) == 1
            assert "2 folders are watched already" in following.letters[0].reason
            here.tree.upload(f"{RAW}/a", b"1")
            await here.settled(following)


async def test_a_file_we_may_not_see_is_told_without_version_and_joined_by_billing(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow() as following:
        here.frontend.troubles.append(Trouble("GET /api/v1/namespace/p11/raw/secret", status=403))
        await following.ready()
        here.tree.upload(f"{RAW}/secret", b"1")
        assert await here.settled(following) == [("created", "secret")]
        record = file_record(following.told[0])
        assert (record.version, record.size) == (None, None)


async def test_a_namespace_that_fails_at_one_file_stops_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow() as following:
        here.frontend.troubles.append(Trouble("GET /api/v1/namespace/p11/raw/odd", status=500))
        await following.ready()
        here.tree.upload(f"{RAW}/odd", b"1")
        assert await here.settled(following) == [("created", "odd")]
        assert not following.failures


async def test_folders_that_may_not_be_watched_or_listed_are_letters(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        for name in ("odd", "fine"):
            here.tree.make_folder(f"{RAW}/{name}")
        here.frontend.troubles.append(Trouble(r"GET /api/v1/namespace/p11/raw/odd\?children", status=500))
        async with here.follow() as following:
            await following.ready()
            (letter,) = following.letters
            assert letter.subject == f"{RAW}/odd"
            assert "cannot be listed" in letter.reason
            here.tree.upload(f"{RAW}/fine/a", b"1")
            await following.until(lambda: ("created", "a") in following.kinds())


async def test_a_namespace_that_is_away_holds_back_and_loses_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow() as following:
        await following.ready()
        await here.settled(following)
        here.frontend.troubles.append(Trouble("GET /api/v1/namespace", status=503, times=3))
        here.tree.upload(f"{RAW}/a", b"1")
        await following.until(lambda: ("created", "a") in following.kinds())
        assert following.failures


async def test_an_empty_file_may_be_being_written_to(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow(unfinished_s=0.2) as following:
        here.tree.begin_upload(f"{RAW}/open")
        await following.ready()
        await following.until(lambda: f"{RAW}/open" in following.rows())


async def test_looks_are_made_side_by_side_and_not_too_many(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow(queries=4) as following:
        await following.ready()
        here.frontend.troubles.append(Trouble("GET /api/v1/namespace", status=200, delay_s=0.02))
        for number in range(20):
            here.tree.upload(f"{RAW}/{number}", b"1")
        await following.until(lambda: len(following.told) >= 20)
        assert all(here.queries(str(number)) == 1 for number in range(20))


async def test_a_listing_names_each_file_as_its_notice_did(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow() as following:
        here.tree.upload(f"{RAW}/before", b"1")
        await following.ready()
        here.tree.make_folder(f"{RAW}/deep")
        here.tree.upload(f"{RAW}/deep/a", b"1")
        await following.until(lambda: ("created", "a") in following.kinds())
        source = following.source
        assert isinstance(source, DCacheSseSource)
        listed = [event async for batch in source.listing() for event in batch]
        assert {file_record(event).path for event in listed} == {f"{RAW}/before", f"{RAW}/deep/a"}
        assert {each.id for each in following.told if each.type == FILE_CREATED} <= {
            each.id for each in listed
        }
        below = [event async for batch in source.listing(f"{RAW}/deep".encode()) for event in batch]
        assert [file_record(event).path for event in below] == [f"{RAW}/deep/a"]
        assert [event async for batch in source.listing(b"/else/where") for event in batch] == []


async def test_an_idle_source_asks_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, here.follow() as following:
        await following.ready()
        await here.settled(following)
        calls = len(here.frontend.calls)
        loop = asyncio.get_running_loop()
        scheduled = [handle for handle in loop._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
        assert not [handle for handle in scheduled if "penstock.sources" in repr(handle)]
        assert len(here.frontend.calls) == calls


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"frontend": "dcache.example.org"}, "expected an address"),
        ({"folders": ()}, "folders is empty"),
        ({"folders": ("raw",)}, "expected an absolute path"),
        ({"channel_s": 0}, "1 to 86400"),
    ],
)
def test_settings_that_can_never_work_are_refused_in_words(given: dict[str, Any], words: str) -> None:
    whole = {
        "frontend": "https://h:3880",
        "token": Secret(env="T"),
        "storage": "d",
        "folders": ("/a",),
        **given,
    }
    with pytest.raises(ValueError, match=words):
        DCacheSseSettings(**whole)
