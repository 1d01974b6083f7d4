"""Messages of Rucio (its daemon Hermes) become events. Pure.

What each ``event_type`` means; a replica is the path ``/RSE/SCOPE/NAME``, a data identifier ``/SCOPE/NAME``::

    transfer-done                                 file.created           at the destination
    stagein-done                                  file.staged
    deletion-done                                 file.deleted
    transfer- and stagein-failed, -lost, -no_sources, -only_tape_sources,
      -submission_failed, -mismatch_scheme        file.transfer-failed   at the destination
    everything else                               penstock.rucio.TYPE    of the data identifier

A message has no id, and is delivered at least once: ids are made of type, time and payload. Members mix ``-``
and ``_``; in ``data`` of the last kind all are written with ``_``. ``origin`` is the message as it came.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Raw, Struct

from penstock.core.errors import Invalid
from penstock.core.event import (
    EVENT_BYTES_MAX,
    FILE_CREATED,
    FILE_DELETED,
    FILE_STAGED,
    FILE_TRANSFER_FAILED,
    Event,
    json_data,
    notice_id,
    subject_of,
)
from penstock.sources.file_events import Storage, rfc3339_of

PREFIX = "penstock.rucio."
_FAILURES = ("failed", "lost", "no_sources", "only_tape_sources", "submission_failed", "mismatch_scheme")
_KINDS = {
    "transfer-done": FILE_CREATED,
    "stagein-done": FILE_STAGED,
    "deletion-done": FILE_DELETED,
    **{f"{what}-{state}": FILE_TRANSFER_FAILED for what in ("transfer", "stagein") for state in _FAILURES},
}
_TYPE = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,60}[a-z0-9])?")


class Message(Struct):
    """A message's body."""

    event_type: str
    payload: dict[str, Any]
    created_at: str | None = None
    vo: str | None = None


_decode = msgspec.json.Decoder(Message).decode
_sorted = msgspec.json.Encoder(order="deterministic").encode


class Messages:
    """Normalises the messages of one Rucio.

    Args:
        storage: The name that its replicas are told under.
    """

    def __init__(self, storage: str) -> None:
        self._storage = Storage(storage)

    def events(self, raw: bytes) -> tuple[Event, ...]:
        """Return the events of one message.

        Raises:
            Invalid: It is no such message; the message says what was expected.
        """
        message = _read(raw)
        kind = message.event_type.lower()
        payload = {name.replace("-", "_"): value for name, value in message.payload.items()}
        native = [kind.encode(), (message.created_at or "").encode(), _sorted(message.payload)]
        origin = Raw(raw if b"\n" not in raw else msgspec.json.format(raw, indent=-1))
        time = rfc3339_of(message.created_at, "created_at")
        if kind in _KINDS:
            return (self._replica(_KINDS[kind], kind, payload, native, time, origin),)
        return (self._identifier(kind, payload, native, time, origin),)

    def _replica(
        self,
        kind: str,
        told: str,
        payload: dict[str, Any],
        native: list[bytes],
        time: str | None,
        origin: Raw,
    ) -> Event:
        rse = _text(payload, "rse" if told == "deletion-done" else "dst_rse", told)
        path = "/".join(("", rse, _text(payload, "scope", told), _text(payload, "name", told)))
        return self._storage.event(
            kind,
            path.encode(),
            native=native,
            time=time,
            size=_size(payload) if kind != FILE_DELETED else None,
            checksum=_checksum(payload) if kind in (FILE_CREATED, FILE_STAGED) else None,
            owner={"subject": payload["account"]} if isinstance(payload.get("account"), str) else None,
            client={"protocol": payload["protocol"]} if isinstance(payload.get("protocol"), str) else None,
            origin=origin,
        )

    def _identifier(
        self, kind: str, payload: dict[str, Any], native: list[bytes], time: str | None, origin: Raw
    ) -> Event:
        scope, name = payload.get("scope"), payload.get("name")
        named = isinstance(scope, str) and isinstance(name, str)
        subject = subject_of(f"/{scope}/{name}".encode()) if named else None
        return Event(
            id=notice_id(self._storage.name, f"rucio.{kind}", *native),
            source=f"/storages/{self._storage.name}",
            type=PREFIX + kind,
            subject=subject,
            time=time,
            partitionkey=subject,
            datacontenttype="application/json",
            data=json_data({**payload, "storage": self._storage.name, "origin": origin}),
        )


def _read(raw: bytes) -> Message:
    if len(raw) > EVENT_BYTES_MAX // 2:
        raise Invalid(f"a message of {len(raw)} bytes; expected a few thousand")
    try:
        message = _decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Invalid(f"not a message of Rucio: {error}") from error
    if not _TYPE.fullmatch(message.event_type.lower()):
        raise Invalid(f"'event_type' is {message.event_type!r}; expected a name such as transfer-done")
    return message


def _text(payload: dict[str, Any], member: str, told: str) -> str:
    value = payload.get(member)
    if isinstance(value, str) and value:
        return value
    raise Invalid(f"{told}: {member.replace('_', '-')!r} is {value!r}; expected a text")


def _size(payload: dict[str, Any]) -> int | None:
    size = payload.get("bytes", payload.get("file_size"))
    return size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None


def _checksum(payload: dict[str, Any]) -> dict[str, str] | None:
    found = {"adler32": payload.get("checksum_adler"), "md5": payload.get("checksum_md5")}
    return {name: value for name, value in found.items() if isinstance(value, str) and value} or None
