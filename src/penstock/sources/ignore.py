"""Names that raise no events: hidden and temporary ones, unless the settings say otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

HIDDEN_AND_TEMPORARY = (
    ".*",  # hidden: rsync's and editors' temporary files, .penstock, .nfs…, .git
    "*~",
    "#*#",
    "*.tmp",
    "*.part",
    "*.partial",
    "*.filepart",
    "*.crdownload",
)
_GLOB = re.compile(rb"\*\*/|\*\*|\*|\?|\[!?[^\]]+\]|.", re.DOTALL)
_MEANING = {b"**/": b"(?:.*/)?", b"**": b".*", b"*": b"[^/]*", b"?": b"[^/]"}
_Match = Callable[[bytes], object]


class Ignore:
    """Decides which entries of the watched tree are nobody's business.

    A pattern without ``/`` is compared with an entry's name, wherever it is; one with ``/`` with the
    whole path below the watched folder, where ``**`` crosses folders. What is below an ignored
    folder is ignored, too.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._name = _any_of([pattern for pattern in patterns if "/" not in pattern])
        self._path = _any_of([pattern.strip("/") for pattern in patterns if "/" in pattern])

    def __call__(self, below: bytes, name: bytes) -> bool:
        """Whether entry ``name`` of the folder ``below`` (relative; empty or ending in ``/``) is ignored."""
        if self._name is not None and self._name(name):
            return True
        return self._path is not None and self._path(below + name) is not None


def _any_of(patterns: Sequence[str]) -> _Match | None:
    if not patterns:
        return None
    return re.compile(b"|".join(_expression(pattern.encode()) for pattern in patterns), re.DOTALL).fullmatch


def _expression(pattern: bytes) -> bytes:
    # "raw/**" means the folder's content and so, for pruning, the folder itself.
    head, tail = (pattern[:-3], b"(?:/.*)?") if pattern.endswith(b"/**") else (pattern, b"")
    return b"(?:%s%s)" % (b"".join(_piece(piece) for piece in _GLOB.findall(head)), tail)


def _piece(piece: bytes) -> bytes:
    if piece in _MEANING:
        return _MEANING[piece]
    if len(piece) > 2 and piece.startswith(b"["):
        inner = piece[1:-1].replace(b"\\", b"\\\\")
        return b"[^" + inner[1:] + b"]" if inner.startswith(b"!") else b"[" + inner + b"]"
    return re.escape(piece)
