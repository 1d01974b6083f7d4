"""Which file systems are refused, with fake mount tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.core.errors import Refused
from penstock.sources.filesystems import FileSystems, mounts
from penstock.testing.folder import FollowedFolder

LINE = "36 25 0:32 / {point} rw,relatime shared:1 - {type} server:/export rw\n"


def table(*pairs: tuple[str, str]) -> bytes:
    return "".join(LINE.format(point=point, type=kind) for point, kind in (("/", "ext4"), *pairs)).encode()


def answering(*pairs: tuple[str, str], magic: int = 0xEF53, accepted: tuple[str, ...] = ()) -> FileSystems:
    return FileSystems(accepted, lambda: table(*pairs), lambda path: magic)


def nothing_ignored(path: bytes) -> bool:
    return False


@pytest.mark.parametrize(
    "kind",
    ["nfs", "nfs4", "gpfs", "lustre", "cifs", "smb3", "fuse.sshfs", "fuse.glusterfs", "9p", "beegfs", "ceph"],
)
def test_a_networks_file_system_is_refused_with_what_to_do(kind: str) -> None:
    with pytest.raises(Refused, match="HTTP ingest") as refusal:
        answering(("/data", kind)).check(b"/data/in", nothing_ignored)
    assert kind in str(refusal.value)
    assert "/data/in" in str(refusal.value)
    answering(("/data", kind), accepted=(kind,)).check(b"/data/in", nothing_ignored)


@pytest.mark.parametrize("kind", ["xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk", "fuse.mergerfs"])
def test_a_local_file_system_is_accepted(kind: str) -> None:
    answering(("/data", kind)).check(b"/data/in", nothing_ignored)


def test_the_kernels_number_counts_where_the_mount_table_says_nothing() -> None:
    with pytest.raises(Refused, match="gpfs"):
        answering(magic=0x47504653).check(b"/data/in", nothing_ignored)


def test_a_network_mounted_below_the_folder_is_refused_unless_ignored() -> None:
    systems = answering(("/data/in/far", "nfs4"))
    with pytest.raises(Refused, match="/data/in/far"):
        systems.check(b"/data/in", nothing_ignored)
    systems.check(b"/data/in", lambda path: path == b"/data/in/far")
    systems.check(b"/data/i", nothing_ignored)


def test_the_last_of_several_mounts_at_one_point_counts() -> None:
    assert answering(("/data", "nfs"), ("/data", "xfs")).type_at(b"/data") == "xfs"


def test_escaped_mount_points_are_read() -> None:
    (mount,) = mounts(rb"36 25 0:32 / /with\040space\012 rw - nfs a rw")
    assert mount == (b"/with space\n", "nfs")


@pytest.mark.parametrize(
    ("release", "kind", "fine"),
    [("6.13.0", "ext4", True), ("6.12.9", "ext4", False), ("7.0-rc1", "xfs", True), ("6.18", "zfs", False)],
)
def test_times_are_fine_on_some_file_systems_of_new_kernels(release: str, kind: str, fine: bool) -> None:
    assert answering(("/data", kind)).has_fine_clock(b"/data", release) is fine


@pytest.mark.anyio
async def test_a_source_on_a_networks_file_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="on nfs4"):
        async with FollowedFolder(tmp_path, filesystems=answering((str(tmp_path), "nfs4"))):
            pass


@pytest.mark.anyio
async def test_this_machines_own_answers_can_be_read(tmp_path: Path) -> None:
    assert FileSystems().type_at(str(tmp_path).encode()) not in ("", "unknown")
