"""What a line of a gauge station means. Pure: no clock, no network."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from penstock.core.errors import Invalid
from penstock.core.event import FILE_CREATED, Event
from penstock.sources.file_events import Storage, rfc3339_of


class Measurement(Struct):
    """A finished file, as the station tells of it."""

    station: str
    file: str
    number: int
    bytes: int
    finished: str


_decode = msgspec.json.Decoder(Measurement).decode


class Lines:
    """Turns lines into events of one storage."""

    def __init__(self, storage: str) -> None:
        self._storage = Storage(storage)

    def events(self, line: bytes) -> tuple[Event, ...]:
        """Return the events of one line.

        Raises:
            Invalid: It is no such line. The words end up in a dead letter: say what was expected.
        """
        try:
            told = _decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise Invalid(f"not a line of a gauge station: {error}") from error
        if not told.file.startswith("/"):
            raise Invalid(f"'file' is {told.file!r}; expected an absolute path")
        event = self._storage.event(
            FILE_CREATED,
            told.file.encode(),
            # A file of a station is written once, so its number names the content: whoever tells of it, and
            # however often, the event's id is the same.
            version=f"{told.station}-{told.number}",
            native=(),
            time=rfc3339_of(told.finished, "finished"),
            size=told.bytes,
            origin=Raw(line),
        )
        return (event,)
