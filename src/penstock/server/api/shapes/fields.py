"""What fields of questions and answers have in common."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from penstock.core.errors import Invalid

Limit = Annotated[int, Meta(ge=1, le=1000, description="Most entries.")]
Number = Annotated[int, Meta(ge=0, le=1 << 53)]
Text = Annotated[str, Meta(max_length=4096)]
POOL = "pool"
Shape = TypeVar("Shape", bound=Struct)


def filled(shape: type[Shape], of: object, **made: Any) -> Shape:
    """Return a ``shape`` whose members are those of ``of`` with the same names, but for what was ``made``."""
    same = {name: getattr(of, name) for name in shape.__struct_fields__ if name not in made}
    return shape(**same, **made)


def page_mark(at_ns: int, key: str) -> str:
    """Return the text by which a list goes on."""
    return f"{at_ns}-{key}"


def read_mark(text: str) -> tuple[int, str] | None:
    """Return what ``page_mark`` wrote; None for an empty text.

    Raises:
        Invalid: It is no such text.
    """
    if not text:
        return None
    at, dash, key = text.partition("-")
    if not (dash and at.isascii() and at.isdigit() and len(at) < 20):
        raise Invalid(f"'before' is {text!r}; expected what an earlier answer gave as 'next'")
    return int(at), key


def json_or_none(raw: bytes | Raw) -> Any:
    """Return decoded JSON, or None where it is none that can be read."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
