"""Filters as they come in a query string: CESQL, or the JSON dialects."""

from __future__ import annotations

import msgspec

from penstock.core.errors import Invalid
from penstock.core.filter import Predicate, compile_filter, parse


def wanted(text: str) -> Predicate | None:
    """Return the filter that ``text`` means; None if it wants everything.

    A text that begins with ``{`` or ``[`` is a filter document, any other is a CESQL expression.

    Raises:
        Invalid: It is neither; every fault is named.
    """
    text = text.strip()
    if not text:
        return None
    if text[0] not in "{[":
        return compile_filter(parse({"sql": text}))
    try:
        document = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Invalid(f"'filter' is no JSON: {error}") from error
    return compile_filter(parse(document))
