"""File systems on which the kernel tells of all writes, and those on which only of local ones.

On a network or cluster file system another host's write raises no notice here, so watching a folder
there would lose files without a word. Such folders are refused, with what to do instead.
Sources: proc(5) on mountinfo, statfs(2) and linux/magic.h on types.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from penstock.core.errors import Refused

# fmt: off
FOREIGN = frozenset(
    [
        "9p", "acfs", "afs", "autofs", "beegfs", "ceph", "cifs", "coda", "davfs", "fhgfs", "gfs2",
        "glusterfs", "gpfs", "lustre", "lustre_lite", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs",
        "panfs", "pvfs2", "smb3", "smbfs", "snfs", "vboxsf", "virtiofs", "vmhgfs", "wekafs",
    ]
)
LOCAL_FUSE = frozenset(
    [
        "fuseblk", "fuse.bindfs", "fuse.encfs", "fuse.exfat", "fuse.fuse-overlayfs",
        "fuse.gocryptfs", "fuse.lxcfs", "fuse.mergerfs", "fuse.ntfs", "fuse.ntfs-3g",
        "fuse.unionfs",
    ]
)
# fmt: on
"""User-space file systems whose files live on this machine; every other one is taken for a network's."""
MAGIC = {
    0x6969: "nfs",
    0x517B: "smbfs",
    0xFF534D42: "cifs",
    0xFE534D42: "smb3",
    0x0BD00BD0: "lustre",
    0x47504653: "gpfs",
    0x01021997: "9p",
    0x5346414F: "afs",
    0x6B414653: "afs",
    0x00C36400: "ceph",
    0x19830326: "beegfs",
    0x73757245: "coda",
    0x7461636F: "ocfs2",
    0x01161970: "gfs2",
    0xAAD7AAEA: "panfs",
    0x61636673: "acfs",
    0xBEEFDEAD: "snfs",
    0x786F4256: "vboxsf",
    0x20030528: "orangefs",
}
FINE_CLOCK = frozenset({"ext4", "xfs", "btrfs", "tmpfs"})
"""Types with multigrain timestamps: each change after a stat has a time of its own, from Linux 6.13 on."""
_ESCAPE = re.compile(rb"\\([0-7]{3})")


class Mount(NamedTuple):
    """One line of mountinfo."""

    point: bytes
    type: str


def mounts(text: bytes) -> list[Mount]:
    """Return the mounts in the text of ``/proc/self/mountinfo``, oldest first."""
    found = []
    for line in text.splitlines():
        left, separator, right = line.partition(b" - ")
        fields = left.split()
        if separator and len(fields) > 4:
            found.append(Mount(_unescape(fields[4]), right.split()[0].decode()))
    return found


def read_mountinfo() -> bytes:
    """Return the text of this process's mount table."""
    with open("/proc/self/mountinfo", "rb") as file:
        return file.read()


def magic_of(path: bytes) -> int:
    """Return statfs's number of the file system that holds ``path``; 0 if it cannot be asked."""
    buffer = ctypes.create_string_buffer(256)
    if ctypes.CDLL(None).statfs(path, buffer) != 0:
        return 0
    return ctypes.c_ulong.from_buffer(buffer).value & 0xFFFF_FFFF


class FileSystems:
    """Answers about the file systems of this machine.

    Args:
        accepted: Types that the operator vouches for: nobody writes there from elsewhere.
        mountinfo: Returns the mount table's text.
        magic: Returns statfs's type number of a path.
    """

    def __init__(
        self,
        accepted: Sequence[str] = (),
        mountinfo: Callable[[], bytes] = read_mountinfo,
        magic: Callable[[bytes], int] = magic_of,
    ) -> None:
        self._accepted = frozenset(accepted)
        self._mountinfo = mountinfo
        self._magic = magic

    def type_at(self, folder: bytes) -> str:
        """Return the type of the file system that holds ``folder``, such as ``ext4``."""
        by_number = MAGIC.get(self._magic(folder))
        if by_number is not None:
            return by_number
        holding = [mount for mount in mounts(self._mountinfo()) if _holds(mount.point, folder)]
        # Of mounts at one point the last one is seen; max() returns the first of equals.
        return max(reversed(holding), key=lambda mount: len(mount.point)).type if holding else "unknown"

    def is_foreign(self, kind: str) -> bool:
        """Whether others may write to a file system of this type without a notice here."""
        if kind in self._accepted:
            return False
        return kind in FOREIGN or (kind.startswith("fuse") and kind not in LOCAL_FUSE)

    def check(self, folder: bytes, is_ignored: Callable[[bytes], bool]) -> None:
        """Refuse ``folder`` if it, or a mount below it, is a network's or cluster's.

        Args:
            folder: Absolute, without links.
            is_ignored: Whether a path below ``folder`` is outside the watched tree.

        Raises:
            Refused: It is; the message says what to do.
        """
        kind = self.type_at(folder)
        if self.is_foreign(kind):
            raise Refused(_refusal(folder, kind))
        for mount in mounts(self._mountinfo()):
            below = mount.point != folder and _holds(folder, mount.point)
            if below and self.is_foreign(mount.type) and not is_ignored(mount.point):
                raise Refused(_refusal(mount.point, mount.type))

    def has_fine_clock(self, folder: bytes, release: str = "") -> bool:
        """Whether two changes of a file always differ in their times (else inotify must tell of writes).

        Args:
            folder: What is watched.
            release: The kernel's, such as ``6.18.44``; default: this machine's.
        """
        numbers = re.match(r"(\d+)\.(\d+)", release or os.uname().release)
        recent = numbers is not None and (int(numbers[1]), int(numbers[2])) >= (6, 13)
        return recent and self.type_at(folder) in FINE_CLOCK


def _refusal(folder: bytes, kind: str) -> str:
    return (
        f"{os.fsdecode(folder)!r} is on {kind}: there the kernel tells only of this machine's own writes, "
        "and files written elsewhere would be missed. Run Penstock on the machine that holds the disks, use "
        "that storage's own event source or HTTP ingest, or, if only this machine writes there, accept it: "
        f"accept_filesystems = [{kind!r}]"
    )


def _holds(point: bytes, path: bytes) -> bool:
    return path == point or path.startswith(point.rstrip(b"/") + b"/")


def _unescape(field: bytes) -> bytes:
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), field)
