"""Files that are no HDF5, or not all of one; the superblocks are written here byte by byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

SIGNATURE = b"\x89HDF\r\n\x1a\n"


def old_superblock(size: int) -> bytes:
    """Version 0, as most files have it: base, free space, end of file, driver, of 8 bytes each."""
    undefined = b"\xff" * 8
    fixed = SIGNATURE + bytes([0, 0, 0, 0, 0, 8, 8, 0, 4, 0, 16, 0, 0, 0, 0, 0])
    return fixed + bytes(8) + undefined + size.to_bytes(8, "little") + undefined


def new_superblock(size: int) -> bytes:
    """Version 3: base, extension, end of file, root group."""
    return SIGNATURE + bytes([3, 8, 8, 0]) + bytes(8) + b"\xff" * 8 + size.to_bytes(8, "little") + bytes(8)


@pytest.mark.parametrize("superblock", [old_superblock, new_superblock])
@pytest.mark.parametrize("before", [0, 512, 2048])
def test_half_a_file_is_called_truncated_with_both_sizes(
    superblock: Callable[[int], bytes],
    before: int,
    tmp_path: Path,
    neighbour: Callable[[str], ModuleType],
) -> None:
    path = tmp_path / "scan.h5"
    path.write_bytes(bytes(before) + superblock(9000 + before).ljust(4500, b"\0"))
    with pytest.raises(
        ValueError, match=f"truncated: its superblock says {9000 + before:,} bytes, it has {4500 + before:,}"
    ):
        neighbour("whole").check_whole(path)
    path.write_bytes(path.read_bytes().ljust(9000 + before, b"\0"))
    neighbour("whole").check_whole(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"# Q I dI\n0.1 2 3\n", "no HDF5: it begins with"),
        (SIGNATURE, "truncated"),
    ],
)
def test_what_is_no_file_at_all_is_refused_with_its_reason(
    content: bytes, words: str, tmp_path: Path, neighbour: Callable[[str], ModuleType]
) -> None:
    path = tmp_path / "scan.h5"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        neighbour("whole").check_whole(path)
