"""Notices of XRootD (``ofs.notify``) become events. Pure.

What each means (a dash: it raises no event)::

    closew   file.created             the file is complete
    mv       file.moved at the old path, file.created at the new one: an upload under a temporary name ends so
    rm       file.deleted
    trunc    file.updated
    chmod    file.attributes-changed
    closer   file.read
    create fwrite mkdir openr openw rmdir   -

Two forms of lines are understood, side by side. Ours, by ``ofs.notifymsg``, whose end cannot be in a path
(XRootD makes one slash of several), so that a path with a line end in it stays whole::

    penstock1 closew alice.1:26@host /a/b//

and XRootD's own, which alone names both paths of a move, with nothing but a blank between them::

    alice.1:26@host mv /a/b /a/c

Notices have neither time nor number: ids are made of their place in the spool.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from msgspec import Struct

from penstock.core.errors import Invalid
from penstock.core.event import (
    FILE_ATTRIBUTES_CHANGED,
    FILE_CREATED,
    FILE_DELETED,
    FILE_MOVED,
    FILE_READ,
    FILE_UPDATED,
    Event,
    rfc3339,
)
from penstock.sources.file_events import Storage

_KINDS: dict[bytes, str | None] = {
    b"closew": FILE_CREATED,
    b"rm": FILE_DELETED,
    b"trunc": FILE_UPDATED,
    b"chmod": FILE_ATTRIBUTES_CHANGED,
    b"closer": FILE_READ,
    **dict.fromkeys((b"create", b"fwrite", b"mkdir", b"openr", b"openw", b"rmdir")),
}
_OURS = re.compile(rb"penstock1 ([a-z]+) (\S+) (/.*)", re.DOTALL)
_THEIRS = re.compile(rb"([^\s:@]+:\d+@\S+) ([a-z]+) (.*)", re.DOTALL)
_MODE = re.compile(rb"[0-7]+ (?=/)")
_WITH_MODE = frozenset({b"create", b"mkdir", b"chmod"})
END = b"//"


class Line(Struct, frozen=True):
    """One line of a spool.

    Attributes:
        place: Where it is; never changes.
        at_ns: When it was written, POSIX nanoseconds.
        text: What XRootD said.
    """

    place: bytes
    at_ns: int
    text: bytes


Known = Callable[[bytes], bool]
"""Whether a file is known at a path."""


class Notices:
    """Normalises the notices of one storage.

    Args:
        storage: Its name.
        known: Asked where a move can be read in several ways.
    """

    def __init__(self, storage: str, known: Known = lambda _path: False) -> None:
        self._storage = Storage(storage)
        self._known = known

    def events(self, line: Line) -> tuple[Event, ...]:
        """Return the events of one notice.

        Raises:
            Invalid: It cannot be read, or was cut; the message says what to do.
        """
        ours = _OURS.fullmatch(line.text)
        if ours is not None:
            event, client, rest = ours.groups()
            if not rest.endswith(END):
                raise Invalid(f"the notice {_shown(line.text)} was cut: its end '//' is missing")
            return self._told(event, client, rest.removesuffix(END), line)
        theirs = _THEIRS.fullmatch(line.text)
        if theirs is None:
            raise Invalid(f"{_shown(line.text)} is no notice of XRootD; expected 'who@host closew /path'")
        client, event, rest = theirs.groups()
        if event == b"mv":
            return self._moved(rest, client, line)
        if event == b"trunc" and rest.isdigit():
            raise Invalid("XRootD's own notice of 'trunc' names no path; give it an 'ofs.notifymsg trunc'")
        return self._told(event, client, _MODE.sub(b"", rest, 1) if event in _WITH_MODE else rest, line)

    def _told(self, event: bytes, client: bytes, path: bytes, line: Line) -> tuple[Event, ...]:
        if event not in _KINDS:
            raise Invalid(f"the event {event.decode('utf-8', 'replace')!r} is not known")
        if not path.startswith(b"/"):
            raise Invalid(f"{_shown(line.text)} names no absolute path")
        kind = _KINDS[event]
        return () if kind is None else (self._event(kind, path, client, line),)

    def _moved(self, rest: bytes, client: bytes, line: Line) -> tuple[Event, ...]:
        old, new = self._pair(rest)
        moved_from = old.decode("utf-8", "replace")
        return (
            self._event(FILE_MOVED, old, client, line),
            self._event(FILE_CREATED, new, client, line, moved_from=moved_from),
        )

    def _pair(self, rest: bytes) -> tuple[bytes, bytes]:
        """Return both paths of a move: the one way to read it, or the one whose first path is known."""
        ways = [(rest[: at.start()], rest[at.start() + 1 :]) for at in re.finditer(rb" (?=/)", rest)]
        if len(ways) > 1:
            ways = [(old, new) for old, new in ways if self._known(old)] or ways
        if len(ways) == 1 and ways[0][0].startswith(b"/"):
            return ways[0]
        raise Invalid(
            f"the move {_shown(rest)} can be read in {len(ways)} ways, as XRootD does not mark where the "
            "first path ends; the folder is compared with what is known"
        )

    def _event(
        self, kind: str, path: bytes, client: bytes, line: Line, moved_from: str | None = None
    ) -> Event:
        return self._storage.event(
            kind,
            path.rstrip(b"/") or b"/",
            native=[line.place],
            time=rfc3339(line.at_ns / 1e9),
            owner=_owner(client),
            client={"address": client.rpartition(b"@")[2].decode("utf-8", "replace"), "protocol": "xroot"},
            moved_from=moved_from,
            origin={"notice": line.text.decode("utf-8", "replace")},
        )


def whole(lines: Iterator[Line]) -> Iterator[Line]:
    """Yield lines, those joined that a line end within a path has torn apart."""
    held: Line | None = None
    for line in lines:
        if held is not None and (is_whole(held.text) or begins(line.text)):
            yield held
            held = None
        held = line if held is None else Line(held.place, held.at_ns, held.text + b"\n" + line.text)
    if held is not None:
        yield held


def is_whole(text: bytes) -> bool:
    """Whether nothing of a notice can be missing: only our own form shows where it ends."""
    return text.endswith(END) or not text.startswith(b"penstock1 ")


def begins(text: bytes) -> bool:
    """Whether a line is the beginning of a notice."""
    return _OURS.match(text) is not None or _THEIRS.match(text) is not None


def folder_of(text: bytes) -> bytes:
    """Return the smallest folder that everything a faulty notice may speak of lies in."""
    first = text.find(b"/")
    paths = [b"/" + part for part in re.split(rb" /", text[first + 1 :])] if first >= 0 else []
    if not paths:
        return b"/"
    parts = [path.split(b"/")[:-1] for path in paths]
    shared = [each[0] for each in zip(*parts, strict=False) if len(set(each)) == 1]
    return b"/".join(shared) or b"/"


def _owner(client: bytes) -> dict[str, str] | None:
    user = client.partition(b".")[0].decode("utf-8", "replace")
    return {"subject": user} if user and user != "unknown" else None


def _shown(text: bytes) -> str:
    plain = text.decode("utf-8", "replace")
    return repr(plain if len(plain) <= 200 else f"{plain[:200]}…")
