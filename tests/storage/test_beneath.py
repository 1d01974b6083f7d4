"""Nothing lands outside of the storage, whatever somebody does to its folders meanwhile."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.storage.test_publish import Desk

from penstock.core.errors import Forbidden, PenstockError
from penstock.core.rows import OutputRow
from penstock.storage import attempts, beneath, moves
from penstock.storage.beneath import Folders, has_openat2
from penstock.storage.place import Place

pytestmark = pytest.mark.anyio
Entering = Callable[[int, bytes, bytes], int]


@pytest.fixture(params=["openat2", "walk"])
def enter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Entering:
    """Both ways to open a folder; what is left without the kernel's must be as safe."""
    if request.param == "openat2" and not has_openat2():
        pytest.skip("this kernel has no openat2, or a filter of system calls forbids it")
    monkeypatch.setattr(beneath, "has_openat2", lambda: request.param == "openat2")
    return beneath.enter


@pytest.fixture
def top(tmp_path: Path) -> Iterator[int]:
    handle = os.open(tmp_path, beneath.FOLDER)
    yield handle
    os.close(handle)


def number_of(enter: Entering, top: int, below: bytes) -> int:
    """Return the errno of entering, 0 if it works."""
    try:
        os.close(enter(top, below, b"shown"))
    except OSError as error:
        return (error.errno or 0) if error.filename == b"shown" else -1
    return 0


async def test_only_plain_folders_of_one_file_system_are_entered(
    enter: Entering, top: int, tmp_path: Path
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    (tmp_path / "out").symlink_to("/tmp")
    (tmp_path / "in").symlink_to("a")
    (tmp_path / "a" / "up").symlink_to("..")
    found = {
        name: number_of(enter, top, name)
        for name in (b".", b"a/b", b"a/none", b"none/b", b"file", b"file/x", b"out", b"out/x", b"in", b"a/up")
    }
    assert found == {
        b".": 0,
        b"a/b": 0,
        b"a/none": errno.ENOENT,
        b"none/b": errno.ENOENT,
        b"file": errno.ENOTDIR,
        b"file/x": errno.ENOTDIR,
        b"out": errno.ELOOP,
        b"out/x": errno.ELOOP,
        b"in": errno.ELOOP,
        b"a/up": errno.ELOOP,
    }


async def test_a_mounted_file_system_is_not_entered(enter: Entering) -> None:
    with Place("root", b"/").opened() as top:
        assert number_of(enter, top, b"proc/self") == errno.EXDEV


async def test_no_descriptor_is_left_open(enter: Entering, top: int, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with Folders(top, os.fsencode(tmp_path), 0o777, links=True) as folders:
        (tmp_path / "link").symlink_to("x/y")
        for name in (b"/x/y/z", b"/x", b"/link", b"/x/y/z"):
            folders.open(os.fsencode(tmp_path) + name)
        with pytest.raises(FileNotFoundError):
            Folders(top, os.fsencode(tmp_path)).open(os.fsencode(tmp_path) + b"/none/none")
    assert len(os.listdir("/proc/self/fd")) == before


class Swapper:
    """Swaps the storage's folders for links to a folder outside, and back, as fast as it can."""

    def __init__(self, desk: Desk, outside: Path) -> None:
        self._folders = [desk.root / "out", desk.root / ".penstock"]
        self._outside = outside
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._swap)
        self.swaps = 0

    def __enter__(self) -> Swapper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _swap(self) -> None:
        while not self._ended.is_set():
            for folder in self._folders:
                hidden = folder.with_name(f"{folder.name}.hidden")
                try:
                    folder.rename(hidden)
                    folder.symlink_to(self._outside)
                    self.swaps += 1
                    folder.unlink()
                    hidden.rename(folder)
                except OSError:
                    # The publisher made the folder anew in between: it is what is there from now on.
                    if folder.is_dir() and not folder.is_symlink() and hidden.is_dir():
                        hidden.rename(hidden.with_name(f"{hidden.name}.{self.swaps}"))


async def test_folders_swapped_for_links_while_publishing_lead_nothing_out(
    desk: Desk, tmp_path: Path, enter: Entering
) -> None:
    outside = tmp_path / "outside"
    (outside / "attempts").mkdir(parents=True)
    desk.out("").mkdir()
    event, ends = desk.wrote(), {"published": 0, "held back": 0}
    place = Place("local", os.fsencode(desk.root))
    with Swapper(desk, outside) as swapper:
        for number in range(300):
            publication = desk.attempt(event, {f"{number}": "X"}, f"run/step/{number}/1")
            targets = [os.fsencode(desk.out(f"in.{number}"))]
            try:
                collected, _ = moves.collect(publication, place, targets)
                moves.move_all(place, collected)
                ends["published"] += 1
            except (PenstockError, OSError):
                ends["held back"] += 1
    assert swapper.swaps > 100
    assert ends["published"] > 0
    assert [path for path in outside.rglob("*") if path.name != "attempts"] == []


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_a_function_that_swaps_its_folders_for_links_gives_no_foreign_file(
    desk: Desk, tmp_path: Path, enter: Entering
) -> None:
    secret = tmp_path / "secrets" / "x"
    secret.parent.mkdir()
    secret.write_text("secret")
    attempt = desk.attempt(desk.wrote(), {"sub/x": "X"})
    written = Path(attempt.folder, "sub")
    (written / "x").unlink()
    written.rmdir()
    written.symlink_to(secret.parent)
    with pytest.raises(Forbidden, match="symbolic link"):
        await desk.publisher.publish(attempt)
    assert secret.read_text() == "secret"
    assert desk.state.select(OutputRow) == []


async def test_a_pipe_in_place_of_a_file_does_not_hold_the_publisher(desk: Desk) -> None:
    attempt = desk.attempt(desk.wrote(), {"x": "X"})
    Path(attempt.folder, "x").unlink()
    os.mkfifo(Path(attempt.folder, "x"))
    with pytest.raises(Forbidden, match="no plain file"):
        await desk.publisher.publish(attempt)
    assert list(desk.root.glob(f"{attempts.PRIVATE}/attempts/*")) == []
