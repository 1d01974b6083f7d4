"""The page's static files, read once and named by the digest of all of them.

Their address changes when any of them does, so that browsers may keep them for ever, and a page of one
version never loads a module of another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

FOLDER = Path(__file__).parent / "static"
MEDIA = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Content types of the suffixes that are served; a file with another one is left out."""


class Asset(Struct, frozen=True):
    """One static file, whole."""

    body: bytes
    media: str


class Assets(Struct, frozen=True):
    """All static files.

    Attributes:
        files: By their path below the folder.
        digest: Of all of them together.
    """

    files: Mapping[str, Asset]
    digest: str

    @property
    def modules(self) -> list[str]:
        """Paths of the JavaScript modules, for loading them all at once."""
        return sorted(name for name in self.files if name.endswith(".js") and name != "theme.js")


def read(folder: Path = FOLDER) -> Assets:
    """Return the static files in ``folder``; takes a millisecond and about 100 kB."""
    state = hashlib.sha256()
    files = {}
    for path in sorted(folder.rglob("*")):
        media = MEDIA.get(path.suffix)
        if media is None or not path.is_file():
            continue
        name, body = path.relative_to(folder).as_posix(), path.read_bytes()
        state.update(f"{name}\0{len(body)}\0".encode() + body)
        files[name] = Asset(body, media)
    return Assets(files, state.hexdigest()[:16])
