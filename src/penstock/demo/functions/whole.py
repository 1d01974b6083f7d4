"""Whether an HDF5 file is one, and all of one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

HASHED_BYTES_MAX = 4 << 30
SIGNATURE = b"\x89HDF\r\n\x1a\n"


def check_whole(path: Path) -> None:
    """Refuse what is no HDF5 file, or not all of one.

    Raises:
        ValueError: In one sentence for the person who finds it among the dead letters.
    """
    size = path.stat().st_size
    if size == 0:
        raise ValueError("the file is empty (0 bytes); write it again")
    with path.open("rb") as file:
        start = _superblock(file, size)
        if start is None:
            file.seek(0)
            raise ValueError(
                f"the file is no HDF5: it begins with {file.read(8)!r}, expected {SIGNATURE!r}; "
                "NeXus files in HDF4 or XML must be converted first"
            )
        promised = _promised_size(file, start)
    if promised is not None and promised > size:
        raise ValueError(
            f"the file is truncated: its superblock says {promised:,} bytes, it has {size:,}; "
            "copy or write it again, whole"
        )


def _superblock(file: Any, size: int) -> int | None:
    """Return where the HDF5 superblock begins: at 0, or after a user block of 512 · 2ⁿ bytes."""
    start = 0
    while start < size:
        file.seek(start)
        if file.read(8) == SIGNATURE:
            return start
        start = 512 if start == 0 else start * 2
    return None


def _promised_size(file: Any, start: int) -> int | None:
    """Return the length the superblock promises (counted from its base address), or None if it is cut off.

    Its place depends on the version of the superblock (HDF5 file format, section II.A).
    """
    file.seek(start)
    head = file.read(96)
    if len(head) < 96:
        return 96
    version = head[8]
    width, offset = (head[13], 24 if version == 0 else 28) if version < 2 else (head[9], 12)
    eof = offset + 2 * width
    value = int.from_bytes(head[eof : eof + width], "little")
    base = int.from_bytes(head[offset : offset + width], "little")
    return max(value, base + value if base and base != start else value)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, or why there is none."""
    if path.stat().st_size > HASHED_BYTES_MAX:
        return f"not computed above {HASHED_BYTES_MAX >> 30} GiB"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
