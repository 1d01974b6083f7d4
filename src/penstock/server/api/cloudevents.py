"""CloudEvents over HTTP, as the HTTP protocol binding 1.0.2 says: binary, structured and batch."""

from __future__ import annotations

import re
from base64 import b64encode
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Raw
from starlette.datastructures import Headers

from penstock.core.errors import Invalid
from penstock.core.event import EVENT_BYTES_MAX, decode
from penstock.server.api.problems import TooLarge, UnsupportedMedia

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
EVENTS_MAX = 10_000
"""Most events of one batch."""
BATCH_BYTES_MAX = 16 << 20
"""Longest batch."""
_PREFIX = "ce-"
_JSON_MEDIA = re.compile(r"(application|text)/([a-z0-9.+_-]+\+)?json")
_raws = msgspec.json.Decoder(list[Raw])
_encode = msgspec.json.Encoder().encode


def media_of(headers: Headers) -> str:
    """Return the content type without its parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def bytes_max(headers: Headers) -> int:
    """Return how long the body may be."""
    return BATCH_BYTES_MAX if media_of(headers) == BATCH else EVENT_BYTES_MAX


def events_of(headers: Headers, body: bytes) -> list[Raw]:
    """Return the events in a request, each as checked JSON.

    Raises:
        Invalid: One is no CloudEvent; its place in a batch is named.
        TooLarge: There are more than ``EVENTS_MAX``, or one is too long.
        UnsupportedMedia: The request is in none of the three modes.
    """
    media = media_of(headers)
    if media == BATCH:
        return _batch(body)
    if media == STRUCTURED:
        return [_checked(body)]
    if media.startswith("application/cloudevents"):
        raise UnsupportedMedia(f"the content type is {media!r}; expected {STRUCTURED} or {BATCH}")
    if f"{_PREFIX}specversion" in headers or f"{_PREFIX}id" in headers:
        return [_binary(headers, media, body)]
    raise UnsupportedMedia(
        f"this is no CloudEvent: the content type is {media!r} and there are no ce- headers; "
        f"send {STRUCTURED}, {BATCH}, or headers ce-id, ce-source, ce-type and ce-specversion"
    )


def _batch(body: bytes) -> list[Raw]:
    try:
        raws = _raws.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"a batch is a JSON list of CloudEvents: {error}") from error
    if len(raws) > EVENTS_MAX:
        raise TooLarge(f"the batch has {len(raws)} events; at most {EVENTS_MAX} are taken at once")
    faults = []
    for place, raw in enumerate(raws):
        try:
            _checked(bytes(raw))
        except Invalid as error:
            faults += [f"/{place}: {line}" for line in (error.faults or (str(error),))]
    if faults:
        raise Invalid("the batch has faults, none of its events was taken:", tuple(faults[:100]))
    return raws


def _checked(body: bytes) -> Raw:
    if len(body) > EVENT_BYTES_MAX:
        raise TooLarge(f"an event has {len(body)} bytes; at most {EVENT_BYTES_MAX} are taken")
    decode(body)
    return Raw(body)


def _binary(headers: Headers, media: str, body: bytes) -> Raw:
    members: dict[str, object] = {}
    for name, value in headers.items():
        if name.startswith(_PREFIX):
            members[name.removeprefix(_PREFIX)] = _header_text(name, value)
    for reserved in {"data", "data_base64", "datacontenttype"} & members.keys():
        raise Invalid(f"header ce-{reserved}: there is no such attribute; the body is the data")
    if "depth" in members:
        members["depth"] = _integer(str(members["depth"]))
    if media:
        members["datacontenttype"] = headers["content-type"]
    if body and (_JSON_MEDIA.fullmatch(media) or not media):
        members["data"] = Raw(_json(body))
    elif body and media.startswith("text/"):
        members["data"] = _text(body)
    elif body:
        members["data_base64"] = b64encode(body).decode()
    return _checked(_encode(members))


def _header_text(name: str, value: str) -> str:
    """Headers carry percent-encoded UTF-8 (section 3.1.3.2)."""
    try:
        return unquote_to_bytes(value.encode("latin-1")).decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"header {name}: the value is no percent-encoded UTF-8") from error


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise Invalid(f"header ce-depth: {text[:80]!r} is no integer") from error


def _json(body: bytes) -> bytes:
    try:
        msgspec.json.decode(body, type=Raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"the content type says JSON, but the body is none: {error}") from error
    return body


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise Invalid("the content type says text, but the body is no UTF-8") from error
