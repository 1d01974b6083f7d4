"""Publication on real folders: who may replace what, crashes between the halves, full and absent disks."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.core.errors import Conflict, Failed, Forbidden, Invalid, Superseded
from penstock.core.event import NEW_CONTENT, Event, FileRecord, json_data, subject_of
from penstock.core.ports import Publication
from penstock.core.rows import Intent, OutputRow
from penstock.storage import files, moves, publish
from penstock.storage.publish import Publisher
from penstock.testing.state import MemoryState

pytestmark = pytest.mark.anyio
CREATED = next(kind for kind in NEW_CONTENT if kind.endswith("created"))


class Desk:
    """A storage, a state and a publisher; attempts write here."""

    def __init__(self, folder: Path) -> None:
        self.root, self.scratch = folder / "files", folder / "scratch"
        self.root.mkdir()
        self.scratch.mkdir()
        self.state = MemoryState()
        self.begin()

    def begin(self) -> None:
        """Begin a new life, as after a crash."""
        self.state = self.state.restarted()
        roots = {"local": os.fsencode(self.root)}
        self.publisher = Publisher(roots, self.state, self.state.commit, again_s=0.001)

    def wrote(self, name: str = "in.raw", text: str = "raw") -> Event:
        """Write a file and return its event."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        stat = path.stat()
        record = FileRecord(
            storage="local", path=str(path), size=stat.st_size, inode=stat.st_ino, mtime_ns=stat.st_mtime_ns
        )
        return Event(
            id=f"{name} {text}",
            source="/storages/local",
            type=CREATED,
            subject=subject_of(os.fsencode(path)),
            data=json_data(record),
        )

    def attempt(
        self, event: Event, outputs: dict[str, str], key: str = "run/step/-1/1", **changes: Any
    ) -> Publication:
        """Return a publication of ``outputs`` (name to text), written to a scratch folder of its own."""
        folder = self.scratch / f"{len(list(self.scratch.iterdir()))}"
        for name, text in outputs.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        members: dict[str, Any] = {
            "key": key,
            "run": key.split("/")[0],
            "tenant": "local",
            "workflow": "me/w@1",
            "function": "me/f@1",
            "template": "{root}/out/{stem}.{name}",
            "event": event,
            "offset": 1,
            "depth": 1,
            "folder": str(folder),
            "files": tuple(sorted(outputs)),
            "answer": b"{}",
        }
        return Publication(**(members | changes))

    def out(self, name: str) -> Path:
        """Return the place of an output."""
        return self.root / "out" / name

    def attempts(self) -> list[str]:
        """Return what lies in the folders of attempts."""
        folder = self.root / ".penstock" / "attempts"
        return [str(path.relative_to(folder)) for path in folder.rglob("*")] if folder.exists() else []


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_outputs_are_published_whole_and_their_maker_is_known(desk: Desk) -> None:
    event = desk.wrote()
    paths = await desk.publisher.publish(desk.attempt(event, {"a": "A", "b": "B"}, "run/step/3/2"))
    assert paths == (str(desk.out("in.a")), str(desk.out("in.b")))
    assert [path.read_text() for path in map(Path, paths)] == ["A", "B"]
    row = desk.state.output(os.fsencode(desk.out("in.a")))
    assert row is not None
    assert (row.event_id, row.step, row.item, row.workflow) == (event.id, "step", 3, "me/w@1")
    assert row.inode == desk.out("in.a").stat().st_ino
    assert desk.attempts() == []
    assert desk.state.committed[Intent]


# -- who may replace what --------------------------------------------------------------------------


async def test_another_step_of_one_run_may_not_replace_an_output(desk: Desk) -> None:
    event = desk.wrote()
    await desk.publisher.publish(desk.attempt(event, {"x": "first"}, "run/one/-1/1"))
    with pytest.raises(Conflict, match=r"in\.x was published by step 'one' .*and now step 'two' of workflow"):
        await desk.publisher.publish(desk.attempt(event, {"x": "second"}, "run/two/-1/1"))
    assert desk.out("in.x").read_text() == "first"
    assert desk.attempts() == []


async def test_of_two_items_at_one_path_only_one_is_published_also_at_once(desk: Desk) -> None:
    event = desk.wrote()
    ends = await asyncio.gather(
        *(
            desk.publisher.publish(desk.attempt(event, {"x": f"item {item}"}, f"run/each/{item}/1"))
            for item in range(5)
        ),
        return_exceptions=True,
    )
    assert ends[0] == (str(desk.out("in.x")),)
    for item, end in enumerate(ends[1:], 1):
        assert isinstance(end, Conflict)
        assert "step 'each' (item 0 of its list)" in str(end)
        assert f"step 'each' (item {item} of its list)" in str(end)
    assert desk.out("in.x").read_text() == "item 0"


async def test_another_workflow_may_not_replace_an_output_of_the_same_content(desk: Desk) -> None:
    event = desk.wrote()
    await desk.publisher.publish(desk.attempt(event, {"x": "first"}))
    other = desk.attempt(event, {"x": "second"}, "run2/step/-1/1", workflow="you/v@7")
    with pytest.raises(Conflict, match=r"workflow 'me/w', and now step 'step' of workflow 'you/v'"):
        await desk.publisher.publish(other)


async def test_a_rerun_that_kept_one_step_s_output_does_not_lose_it_to_another_step(desk: Desk) -> None:
    event = desk.wrote()
    await desk.publisher.publish(desk.attempt(event, {"x": "kept"}, "run/one/-1/1"))
    with pytest.raises(Conflict):
        await desk.publisher.publish(desk.attempt(event, {"x": "again"}, "rerun/two/-1/1", offset=9))
    assert desk.out("in.x").read_text() == "kept"


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("run/step/-1/2", {}),
        ("rerun/step/-1/1", {"offset": 9}),
        ("rerun/step/-1/1", {"offset": 9, "workflow": "me/w@2"}),
    ],
    ids=["attempt", "rerun", "newer-version"],
)
async def test_the_same_maker_replaces_what_it_published(
    desk: Desk, key: str, changes: dict[str, Any]
) -> None:
    event = desk.wrote()
    await desk.publisher.publish(desk.attempt(event, {"x": "first"}))
    await desk.publisher.publish(desk.attempt(event, {"x": "second"}, key, **changes))
    assert desk.out("in.x").read_text() == "second"


async def test_newer_content_replaces_whoever_made_the_output(desk: Desk) -> None:
    await desk.publisher.publish(desk.attempt(desk.wrote(text="1"), {"x": "old"}, "run/one/-1/1"))
    newer = desk.attempt(desk.wrote(text="2"), {"x": "new"}, "run2/two/-1/1", offset=2, workflow="you/v@1")
    await desk.publisher.publish(newer)
    assert desk.out("in.x").read_text() == "new"


async def test_older_content_never_replaces_newer(desk: Desk) -> None:
    event = desk.wrote()
    await desk.publisher.publish(desk.attempt(event, {"x": "new"}, offset=5))
    with pytest.raises(Superseded, match="newer content"):
        await desk.publisher.publish(desk.attempt(event, {"x": "old"}, "run0/step/-1/1", offset=4))


async def test_outputs_of_schema_1_know_no_maker_and_are_replaced(desk: Desk) -> None:
    event = desk.wrote()
    await desk.publisher.publish(desk.attempt(event, {"x": "first"}))
    row = desk.state.output(os.fsencode(desk.out("in.x")))
    assert row is not None
    desk.state.put(msgspec.structs.replace(row, event_id="", step="", item=-1))
    await desk.publisher.publish(desk.attempt(event, {"x": "second"}, "run/two/-1/1"))
    assert desk.out("in.x").read_text() == "second"


async def test_a_stranger_s_file_is_not_replaced(desk: Desk) -> None:
    event = desk.wrote()
    desk.out("in.x").parent.mkdir()
    desk.out("in.x").write_text("mine")
    with pytest.raises(Conflict, match=r"exists and was not published by Penstock.*Move it away"):
        await desk.publisher.publish(desk.attempt(event, {"x": "ours"}))
    assert desk.out("in.x").read_text() == "mine"
    assert desk.state.get(Intent, "run/step/-1/1") is None


async def test_two_outputs_with_one_path_are_refused_before_anything_moves(desk: Desk) -> None:
    attempt = desk.attempt(desk.wrote(), {"a": "A", "b": "B"}, template="{root}/out/same")
    with pytest.raises(Invalid, match=r"two outputs one path; put \{name\}"):
        await desk.publisher.publish(attempt)
    assert not desk.out("same").exists()


# -- changes of heart ------------------------------------------------------------------------------


async def test_an_input_that_changed_meanwhile_publishes_nothing(desk: Desk) -> None:
    event = desk.wrote()
    desk.wrote(text="other content")
    with pytest.raises(Superseded, match="has changed since the event"):
        await desk.publisher.publish(desk.attempt(event, {"x": "old"}))
    assert not desk.out("in.x").exists()
    assert desk.attempts() == []


async def test_what_is_not_wanted_any_more_while_the_disk_is_full_is_not_published(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    disk.fill()
    wanted = True
    publishing = asyncio.create_task(
        desk.publisher.publish(desk.attempt(desk.wrote(), {"x": "late"}), lambda: wanted)
    )
    await disk.hit()
    wanted = False
    with pytest.raises(Superseded, match="the run ended"):
        await publishing
    disk.empty()
    assert not desk.out("in.x").exists()
    assert desk.attempts() == []
    assert desk.state.get(Intent, "run/step/-1/1") is None


# -- crashes ---------------------------------------------------------------------------------------


class Crash(BaseException):
    """The process ends here."""


def crash_in(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, count: int, *, after: bool) -> None:
    real: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def dies(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == count and not after:
            raise Crash
        answer = real(*args, **options)
        if calls == count:
            raise Crash
        return answer

    monkeypatch.setattr(owner, name, dies)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(
    ("owner", "name"), [(moves, "bring"), (os, "mkdir"), (moves, "rename"), (moves, "remove_empty")]
)
async def test_a_crash_in_a_publication_leaves_none_or_all_after_recovery(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, count: int, after: bool
) -> None:
    event, outputs = desk.wrote(), {"a": "A", "b": "B", "c": "C"}
    with monkeypatch.context() as patched:
        crash_in(patched, owner, name, count, after=after)
        try:
            await desk.publisher.publish(desk.attempt(event, outputs))
        except Crash:
            crashed = True
        else:
            crashed = False
    assert crashed or name in ("remove_empty", "mkdir")
    desk.begin()
    unfinished = desk.publisher.unfinished()
    for intent in unfinished:
        await desk.publisher.finish(intent)
        desk.publisher.settle(intent.key)
    visible = {path.name: path.read_text() for path in desk.root.glob("out/*")}
    assert visible == ({"in.a": "A", "in.b": "B", "in.c": "C"} if unfinished else {})
    desk.publisher.clean()
    assert desk.attempts() == []
    if not unfinished:
        await desk.publisher.publish(desk.attempt(event, outputs))
        assert len(list(desk.root.glob("out/*"))) == 3


async def test_finishing_twice_changes_nothing(desk: Desk) -> None:
    attempt = desk.attempt(desk.wrote(), {"x": "X"})
    await desk.publisher.publish(attempt)
    (intent,) = desk.publisher.unfinished()
    before = desk.out("in.x").stat()
    assert await desk.publisher.finish(intent) == (str(desk.out("in.x")),)
    after = desk.out("in.x").stat()
    assert (before.st_ino, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_ino,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )
    desk.publisher.settle(attempt.key)
    assert desk.publisher.unfinished() == []
    desk.publisher.settle("unknown")


async def test_a_promise_whose_files_are_gone_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        crash_in(patched, publish, "move_all", 1, after=False)
        with pytest.raises(Crash):
            await desk.publisher.publish(desk.attempt(desk.wrote(), {"x": "X"}))
    desk.begin()
    (kept,) = (desk.root / ".penstock" / "attempts").rglob("x")
    kept.unlink()
    (intent,) = desk.publisher.unfinished()
    with pytest.raises(Failed, match=r"was to be published as .* and is gone"):
        await desk.publisher.finish(intent)


async def test_no_intent_is_promised_before_its_files_and_names_are_durable(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real = os.fsync

    def told(handle: int) -> None:
        order.append(os.path.relpath(os.readlink(f"/proc/self/fd/{handle}"), desk.root))
        real(handle)

    monkeypatch.setattr(os, "fsync", told)

    async def durable() -> None:
        order.append("intent")

    desk.publisher._durable = durable
    await desk.publisher.publish(desk.attempt(desk.wrote(), {"x": "X"}))
    before, after = order[: order.index("intent")], order[order.index("intent") + 1 :]
    attempt = ".penstock/attempts/run-step--1-1"
    assert set(before) == {".", ".penstock", ".penstock/attempts", f"{attempt}/x", attempt}
    assert before.index(f"{attempt}/x") < before.index(attempt)
    assert after == ["out"]


# -- disks -----------------------------------------------------------------------------------------


class Disk:
    """A disk that can be full: moves to it fail until it is emptied."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, half: Any = files) -> None:
        self._error: OSError | None = None
        self._hits: asyncio.Queue[None] = asyncio.Queue()
        loop, real = asyncio.get_running_loop(), half.rename

        def limited(source: files.Spot, target: files.Spot) -> None:
            error = self._error
            if error is not None:
                loop.call_soon_threadsafe(self._hits.put_nowait, None)
                raise error
            real(source, target)

        monkeypatch.setattr(half, "rename", limited)

    def fill(self, code: int = errno.ENOSPC) -> None:
        """Let moves fail."""
        self._error = OSError(code, os.strerror(code))

    def empty(self) -> None:
        """Let them work."""
        self._error = None

    async def hit(self, count: int = 3) -> None:
        """Wait until so many more moves have failed."""
        for _ in range(count):
            await self._hits.get()


@pytest.mark.parametrize("half", [files, moves], ids=["collect", "move"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
async def test_a_publication_waits_for_a_full_disk_and_says_so(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, half: Any, code: int
) -> None:
    disk = Disk(monkeypatch, half)
    disk.fill(code)
    publishing = asyncio.create_task(desk.publisher.publish(desk.attempt(desk.wrote(), {"x": "X"})))
    await disk.hit()
    ((place, words),) = desk.publisher.troubles.items()
    assert place == f"outputs in {desk.root}"
    assert os.strerror(code) in words
    assert "it goes on by itself" in words
    assert not desk.out("in.x").exists()
    disk.empty()
    await publishing
    assert desk.out("in.x").read_text() == "X"
    assert desk.publisher.troubles == {}


async def test_one_that_waits_keeps_its_path_and_no_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch, moves)
    disk.fill()
    event = desk.wrote()
    first = asyncio.create_task(desk.publisher.publish(desk.attempt(event, {"x": "first"})))
    await disk.hit(1)
    second = asyncio.create_task(
        desk.publisher.publish(desk.attempt(event, {"x": "second"}, "rerun/step/-1/1", offset=2))
    )
    other = asyncio.create_task(desk.publisher.publish(desk.attempt(event, {"y": "Y"}, "run/other/-1/1")))
    await disk.hit()
    assert not first.done()
    disk.empty()
    await asyncio.gather(first, second, other)
    assert desk.out("in.x").read_text() == "second"
    assert desk.out("in.y").read_text() == "Y"


async def test_a_storage_that_vanished_is_not_made_anew_and_is_used_when_back(desk: Desk) -> None:
    event = desk.wrote()
    attempt = desk.attempt(event, {"x": "X"})
    desk.root.rename(desk.root.with_name("away"))
    publishing = asyncio.create_task(desk.publisher.publish(attempt))
    while not desk.publisher.troubles:
        await asyncio.sleep(0)
    (words,) = desk.publisher.troubles.values()
    assert f"{desk.root} is not there" in words
    assert not desk.root.exists()
    desk.root.with_name("away").rename(desk.root)
    await publishing
    assert desk.out("in.x").read_text() == "X"


async def test_a_file_where_a_folder_should_be_is_named_with_the_remedy(desk: Desk) -> None:
    event = desk.wrote()
    (desk.root / "out").write_text("not a folder")
    with pytest.raises(Forbidden, match=rf"cannot be written to {desk.root}/out: not a folder.*run it again"):
        await desk.publisher.publish(desk.attempt(event, {"x": "X"}))
    assert desk.state.get(Intent, "run/step/-1/1") is None
    assert desk.state.select(OutputRow) == []
    (desk.root / "out").unlink()
    await desk.publisher.publish(desk.attempt(event, {"x": "X"}, "run/step/-1/2"))
    assert desk.out("in.x").read_text() == "X"


async def test_a_folder_where_the_output_was_is_named(desk: Desk) -> None:
    event = desk.wrote()
    await desk.publisher.publish(desk.attempt(event, {"x": "X"}))
    desk.out("in.x").unlink()
    desk.out("in.x").mkdir()
    with pytest.raises(Forbidden, match=r"in\.x: a folder stands where the output should be"):
        await desk.publisher.publish(desk.attempt(event, {"x": "X"}, "run/step/-1/2"))


async def test_a_place_without_permission_is_named_with_user_and_remedy(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = desk.wrote()
    monkeypatch.setattr(os, "access", lambda *_args, **_options: False)  # root may write everywhere
    with pytest.raises(Forbidden, match=rf"{desk.root}/out: no permission.*user that runs Penstock \(\w+\)"):
        await desk.publisher.publish(desk.attempt(event, {"x": "X"}))
    assert desk.attempts() == []


async def test_half_a_copy_from_another_disk_gives_its_room_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").write_text("x" * 1000)
    os.chmod(tmp_path / "source", 0o4750)
    folder = os.open(tmp_path, os.O_RDONLY)
    source, target = files.Spot(folder, b"source"), files.Spot(folder, b"target")

    def across(*_spots: files.Spot) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    def half(_source: Any, into: Any) -> None:
        into.write(b"x" * 500)
        into.flush()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "rename", across)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfileobj", half)
        with pytest.raises(OSError, match="No space"):
            files.bring(source, target)
    assert source.exists
    assert not target.exists
    assert files.bring(source, target) == (tmp_path / "target").stat().st_ino
    assert (tmp_path / "target").read_text() == "x" * 1000
    assert (tmp_path / "target").stat().st_mode & 0o7777 == 0o750
    assert not source.exists
    os.close(folder)


# -- what somebody else may have put into the storage, or a function into its outputs ----------------


async def test_a_link_in_the_storage_does_not_lead_outputs_out_of_it(desk: Desk, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (desk.root / "out").symlink_to(outside)
    with pytest.raises(Forbidden, match="symbolic link leads out of the storage"):
        await desk.publisher.publish(desk.attempt(desk.wrote(), {"x": "X"}))
    assert list(outside.iterdir()) == []


async def test_a_link_within_the_storage_is_followed(desk: Desk) -> None:
    (desk.root / "elsewhere").mkdir()
    (desk.root / "out").symlink_to("elsewhere")
    await desk.publisher.publish(desk.attempt(desk.wrote(), {"x": "X"}))
    assert (desk.root / "elsewhere" / "in.x").read_text() == "X"


async def test_a_link_in_place_of_the_attempts_is_neither_written_to_nor_cleaned(
    desk: Desk, tmp_path: Path
) -> None:
    precious = tmp_path / "home" / "attempts" / "precious"
    precious.mkdir(parents=True)
    (desk.root / ".penstock").symlink_to(tmp_path / "home")
    assert desk.publisher.clean() == 0
    with pytest.raises(Forbidden, match="symbolic link"):
        await desk.publisher.publish(desk.attempt(desk.wrote(), {"x": "X"}))
    assert precious.exists()


async def test_attempts_are_for_our_eyes_alone(desk: Desk) -> None:
    await desk.publisher.publish(desk.attempt(desk.wrote(), {"x": "X"}))
    assert (desk.root / ".penstock").stat().st_mode & 0o777 == 0o700


async def test_no_output_keeps_the_right_to_run_as_its_owner(desk: Desk) -> None:
    attempt = desk.attempt(desk.wrote(), {"x": "#!/bin/sh"})
    os.chmod(Path(attempt.folder, "x"), 0o6755)
    await desk.publisher.publish(attempt)
    assert desk.out("in.x").stat().st_mode & 0o7777 == 0o755


async def test_more_names_than_one_event_can_tell_are_refused_before_anything_moves(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "EVENT_BYTES_MAX", publish.TOLD_MARGIN + 100)
    attempt = desk.attempt(desk.wrote(), {f"output-{number}": "" for number in range(20)})
    with pytest.raises(Invalid, match=r"names of its 20 outputs.*archive"):
        await desk.publisher.publish(attempt)
    assert len(list(Path(attempt.folder).iterdir())) == 20


@pytest.mark.parametrize("subject", ["/etc/passwd", "a%00b", None])
async def test_what_outsiders_call_a_file_is_no_file_of_ours(desk: Desk, subject: str | None) -> None:
    event = Event(id="1", source="/theirs", type=CREATED, subject=subject, data=json_data([1]))
    template = "{root}/theirs/{generation}.{name}"
    (path,) = await desk.publisher.publish(desk.attempt(event, {"x": "X"}, template=template))
    assert path == str(desk.root / "theirs" / "1.x")


async def test_an_event_without_a_subject_may_replace_its_own_outputs_only(desk: Desk) -> None:
    first, other = (Event(id=name, source="/theirs", type="test") for name in "ab")
    template = "{root}/theirs/{name}"
    await desk.publisher.publish(desk.attempt(first, {"x": "1"}, template=template))
    await desk.publisher.publish(desk.attempt(first, {"x": "2"}, "again/step/-1/1", template=template))
    with pytest.raises(Conflict, match="published from a, and now b would replace it"):
        await desk.publisher.publish(desk.attempt(other, {"x": "3"}, template=template))
    assert (desk.root / "theirs" / "x").read_text() == "2"
