"""What commands print: tables and words for people, one JSON object a line for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from penstock.cli import wording
from penstock.cli.layout import GAP, Fit, Part, table_lines

PIPED_COLUMNS = 1000
"""Width where no terminal is: wide enough that nothing is wrapped or cut."""
Row = Mapping[str, Any]
Cell = str | Text


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: Its heading.
        cell: Makes the cell of a row.
        fold: Whether it holds sentences, which may go on in further lines where the terminal is narrow.
        middle: Whether it holds names or paths, which may lose their middle there.
    """

    title: str
    cell: Callable[[Row], Cell]
    fold: bool = False
    middle: bool = False

    @property
    def fit(self) -> Fit:
        """What becomes of cells that are too wide."""
        return Fit.WORDS if self.fold else Fit.MIDDLE if self.middle else Fit.WHOLE


@cache
def out() -> Console:
    """Return the console for data."""
    return _console(stderr=False)


@cache
def notes() -> Console:
    """Return the console for everything else."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPED_COLUMNS
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def lines(rows: Iterable[Row]) -> None:
    """Print each row as one line of JSON."""
    for row in rows:
        print(json.dumps(row, ensure_ascii=False, separators=(",", ":"), default=str), flush=True)


def table(rows: Sequence[Row], columns: Sequence[Column], empty: str) -> None:
    """Print a table, or ``empty`` as a note if there are no rows."""
    if not rows:
        note(empty)
        return
    parts = [Part(column.title, column.fit, [_text(column.cell(row)) for row in rows]) for column in columns]
    # A pipe gets everything whole, and every column, though it be empty.
    width = out().width if out().is_terminal else sum(part.width() + GAP for part in parts)
    for line in table_lines(parts, width):
        out().print(line, soft_wrap=True)


def _text(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(cell)


def show(
    rows: Sequence[Row], columns: Sequence[Column], empty: str, *, as_json: bool, limit: int = 0
) -> None:
    """Print rows for programs or for people.

    Args:
        rows: With a ``limit`` one more, if there are more; it is not printed.
        columns: Of the table.
        empty: Told if there are no rows.
        as_json: Whether for programs.
        limit: Most rows; 0 prints all.
    """
    shown = rows[:limit] if limit else rows
    if as_json:
        lines(shown)
    else:
        table(shown, columns, empty)
    if len(shown) < len(rows):
        note(f"there are more: --limit {10 * limit}")


def say(*parts: Cell) -> None:
    """Print one line of data for people."""
    out().print(*parts, soft_wrap=True)


def note(words: str) -> None:
    """Tell something that is no data."""
    notes().print(words, soft_wrap=True)


def card(fields: Iterable[tuple[str, Cell]]) -> None:
    """Print names and values below each other; empty values are left out."""
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in fields:
        if str(value):
            made.add_row(name, value)
    _print(made)


def _print(made: RenderableType) -> None:
    if out().is_terminal:
        out().print(made)
        return
    # Cells are padded to their column's width; a pipe has no use for that.
    with out().capture() as captured:
        out().print(made)
    for line in captured.get().splitlines():
        print(line.rstrip())


def state(name: str) -> Text:
    """Return a state with its symbol, in its colour."""
    words, colour = wording.state(name)
    return Text(words, style=colour)


def draw(tree: RenderableType) -> None:
    """Print something drawn, such as a tree."""
    _print(tree)
