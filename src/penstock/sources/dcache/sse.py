"""An event stream, read: bytes to frames, as the HTML standard says, frames to what dCache means. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Raw, Struct

from penstock.core.errors import Invalid

FRAME_BYTES_MAX = 1 << 20
SYSTEM = "SYSTEM"
INOTIFY = "inotify"


class Frame(Struct, frozen=True):
    """One event of a stream: its type, its id (-1 if it has none), its data."""

    kind: str
    id: int
    data: bytes


class Payload(Struct):
    """What happened: dCache's members."""

    mask: tuple[str, ...]
    name: str | None = None
    cookie: str | None = None


class Notice(Struct):
    """An inotify event, and the address of the subscription it is for."""

    event: Payload
    subscription: str


class System(Struct):
    """An event about the channel itself."""

    type: str
    subscription: str = ""


class FrameReader:
    """Cuts a stream into frames; bytes come in pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[Frame]:
        """Yield the frames that are complete with ``piece``.

        Raises:
            Invalid: A frame is too large; the stream cannot be read on.
        """
        text = self._rest + piece
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n")
        *whole, self._rest = text.split(b"\n\n")
        if len(self._rest) > FRAME_BYTES_MAX:
            raise Invalid(f"an event has more than {FRAME_BYTES_MAX} bytes")
        for block in whole:
            frame = _frame(block)
            if frame is not None:
                yield frame


def _frame(block: bytes) -> Frame | None:
    kind, number, data = "message", -1, []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            kind = value.decode("utf-8", "replace")
        elif name == b"id" and value.isdigit():
            number = int(value)
        elif name == b"data":
            data.append(value)
    return Frame(kind, number, b"\n".join(data)) if data else None


_system = msgspec.json.Decoder(System)
_notice = msgspec.json.Decoder(Notice)


def system_of(frame: Frame) -> System:
    """Return what a SYSTEM event says.

    Raises:
        Invalid: It is none.
    """
    try:
        return _system.decode(frame.data)
    except msgspec.MsgspecError as error:
        raise Invalid(f"event {frame.kind} of the channel: {error}") from error


def notice_of(frame: Frame) -> Notice:
    """Return what an inotify event says.

    Raises:
        Invalid: It is none.
    """
    try:
        notice = _notice.decode(frame.data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Invalid(f"event {frame.id} of the channel is no inotify event: {error}") from error
    name = notice.event.name
    if name is not None and (not name or "/" in name or name in (".", "..")):
        raise Invalid(f"event {frame.id} of the channel names {name!r}; expected the name of an entry")
    return notice


def raw_of(frame: Frame) -> Raw:
    """Return the event as it came, for ``origin``."""
    return Raw(frame.data)
