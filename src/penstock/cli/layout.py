"""Tables that fit: names and paths lose their middle, sentences go on at words, in lines below if need be."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from rich.cells import cell_len
from rich.text import Text

from penstock.cli import wording

GAP = 2
MIDDLE_MIN = 12
"""Narrowest that a column becomes whose cells lose their middles."""
WORDS_MIN = 30
"""A column of sentences that would be narrower goes into lines below its row."""
LINES_MAX = 3
"""Most lines of one sentence."""


class Fit(Enum):
    """What becomes of cells that are too wide for their line."""

    WHOLE = auto()
    """Nothing."""
    MIDDLE = auto()
    """They lose their middle, as names and paths may."""
    WORDS = auto()
    """They go on in the next line, as sentences may."""


@dataclass(frozen=True)
class Part:
    """A column: its title, what may become of its cells, and these."""

    title: str
    fit: Fit
    cells: Sequence[Text]

    def width(self) -> int:
        """Return the width at which nothing is cut."""
        return max(cell_len(self.title), *(cell_len(cell.plain) for cell in self.cells))


def table_lines(parts: Sequence[Part], width: int) -> Iterator[Text]:
    """Yield a heading and the rows; none is wider than ``width``, if that can be."""
    parts = parts if _needs(parts) <= width else [part for part in parts if any(map(len, part.cells))]
    beside, below, widths = _placed(parts, width)
    yield Text.assemble(*_row([Text(part.title, style="bold") for part in beside], widths))
    for number in range(len(parts[0].cells)):
        cells = [
            _wrapped(part.cells[number], width_)
            if part.fit is Fit.WORDS
            else [_cut(part.cells[number], width_)]
            for part, width_ in zip(beside, widths, strict=True)
        ]
        for line in range(max(map(len, cells))):
            yield Text.assemble(*_row([cell[line] if line < len(cell) else Text() for cell in cells], widths))
        for part in below:
            indent = widths[0] + GAP
            for text in filter(None, _wrapped(part.cells[number], width - indent)):
                yield Text.assemble(" " * indent, text)


def _needs(parts: Sequence[Part]) -> int:
    return sum(part.width() for part in parts) + GAP * (len(parts) - 1)


def _placed(parts: Sequence[Part], width: int) -> tuple[list[Part], list[Part], list[int]]:
    """Return which columns are beside each other and how wide, and which are told below the rows."""
    beside, below = list(parts), list[Part]()
    while True:
        widths = _widths(beside, width)
        narrow = [
            part
            for part, got in zip(beside, widths, strict=True)
            if part.fit is Fit.WORDS and got < min(part.width(), WORDS_MIN)
        ]
        if not narrow or len(beside) == 1:
            return beside, below, widths
        beside.remove(narrow[-1])
        below.insert(0, narrow[-1])


def _widths(parts: Sequence[Part], width: int) -> list[int]:
    """Return how wide each column is: what has to go goes from sentences first, then from the widest."""
    widths = [part.width() for part in parts]
    over = sum(widths) + GAP * (len(parts) - 1) - width
    for fit, least in ((Fit.WORDS, 1), (Fit.MIDDLE, MIDDLE_MIN)):
        while over > 0:
            place = max(
                (place for place, part in enumerate(parts) if part.fit is fit and widths[place] > least),
                key=widths.__getitem__,
                default=None,
            )
            if place is None:
                break
            widths[place] -= 1
            over -= 1
    return widths


def _row(cells: Sequence[Text], widths: Sequence[int]) -> Iterator[Text | str]:
    pending = 0
    for cell, width in zip(cells, widths, strict=True):
        if cell:
            yield " " * pending
            yield cell
            pending = 0
        pending += width + GAP - (cell_len(cell.plain) if cell else 0)


def _cut(cell: Text, width: int) -> Text:
    plain = cell.plain
    if cell_len(plain) <= width:
        return cell
    return Text(wording.shortened(plain, width), style=cell.style)


def _wrapped(cell: Text, width: int) -> list[Text]:
    """Return a sentence in lines of whole words; words wider than a line lose their middles."""
    words = [wording.shortened(word, width) for word in cell.plain.split()]
    lines = textwrap.wrap(" ".join(words), max(width, 1), break_long_words=False, break_on_hyphens=False)
    if len(lines) > LINES_MAX:
        last = textwrap.shorten(f"{lines[LINES_MAX - 1]} {lines[LINES_MAX]}", max(width, 2), placeholder=" …")
        lines = [*lines[: LINES_MAX - 1], last]
    return [Text(line, style=cell.style) for line in lines] or [Text()]
