"""Records from a table's rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from penstock.core.rows import Row
from penstock.state.tables import TABLES

R = TypeVar("R", bound=Row)


def make(kind: type[R], values: Iterable[Any]) -> R:
    """Return the record that a table's row stands for."""
    fields = dict(zip(kind.__struct_fields__, values, strict=True))
    for name in _BOOLEANS[kind]:
        fields[name] = bool(fields[name])
    return kind(**fields)


_BOOLEANS: Mapping[type[Row], tuple[str, ...]] = {
    kind: tuple(column.name for column in table.columns if column.type.python_type is bool)
    for kind, table in TABLES.items()
}
