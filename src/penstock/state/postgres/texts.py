"""What PostgreSQL's columns cannot hold as it is, and what stands there instead; nothing is ever refused.

- Text with NUL characters is escaped, and comes back as it was.
- Half of a surrogate pair becomes ``?``, and a number too large the largest, as in the embedded state.
- Text in a key that is longer than an index can hold ends in a digest; the whole is in the column ``whole``.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import Dialect, Text
from sqlalchemy.types import TypeDecorator

INTEGER_MAX = (1 << 63) - 1
"""Largest integer of a column."""
KEY_BYTES_MAX = 800
"""Longest text in a key that is kept whole, in UTF-8: three of them fit into one entry of an index."""
SHORT_CHARS = KEY_BYTES_MAX // 4
"""Text of so many characters always fits."""
ESCAPE = "\ue0ff"
"""A character for private use that stands before what it escapes: itself as ``1``, NUL as ``0``."""


def stored(text: str) -> str:
    """Return what stands for ``text`` in a column."""
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-8", "replace").decode()
    if "\0" in text or ESCAPE in text:
        return text.replace(ESCAPE, ESCAPE + "1").replace("\0", ESCAPE + "0")
    return text


def stored_key(text: str) -> str:
    """Return what stands for ``text`` in a column of a key."""
    text = stored(text)
    if len(text) <= SHORT_CHARS:
        return text
    encoded = text.encode()
    if len(encoded) <= KEY_BYTES_MAX:
        return text
    whole = "…" + sha256(encoded).hexdigest()
    return encoded[: KEY_BYTES_MAX - len(whole.encode())].decode("utf-8", "ignore") + whole


def are_plain(texts: Sequence[str]) -> bool:
    """Whether all of them are stored as they are, in a key, too. Some that are not plain may be, as well."""
    every = "".join(texts)
    return every.isascii() and "\0" not in every and max(map(len, texts), default=0) <= SHORT_CHARS


def restored(text: str) -> str:
    """Return the text that a column's value stands for."""
    if ESCAPE not in text:
        return text
    return text.replace(ESCAPE + "0", "\0").replace(ESCAPE + "1", ESCAPE)


def nearest(number: int) -> int:
    """Return the number, or the nearest that a column can hold."""
    return max(-INTEGER_MAX, min(number, INTEGER_MAX))


def whole(texts: Sequence[str]) -> str | None:
    """Return what keeps the texts of a key, if one of them is cut short in its column."""
    if all(stored_key(text) == stored(text) for text in texts):
        return None
    return msgspec.json.encode([stored(text) for text in texts]).decode()


def from_whole(kept: str) -> list[str]:
    """Return the texts of a key."""
    return [restored(text) for text in msgspec.json.decode(kept, type=list[str])]


class PlainText(TypeDecorator[str]):
    """A column of text, for queries by SQLAlchemy."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """Return what stands for a parameter."""
        return value if value is None else stored(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Return what a value stands for."""
        return value if value is None else restored(value)


class KeyText(PlainText):
    """A column of text that is part of a key."""

    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """Return what stands for a parameter."""
        return value if value is None else stored_key(value)
