"""A curve as inline SVG, coloured by the page's style. Standard library only."""

from __future__ import annotations

import math
from html import escape
from typing import Any

WIDTH, HEIGHT = 960, 520
LEFT, RIGHT, TOP, BOTTOM = 92, 20, 18, 66
DECADES_MAX = 7
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

Found = dict[str, Any]


class Axis:
    """One axis: from values to places in the drawing."""

    def __init__(self, values: list[float], scale: str, first: float, last: float) -> None:
        self.log = scale == "log" and any(value > 0 for value in values)
        self.first, self.last = first, last
        usable = [value for value in values if value > 0] if self.log else values
        self.low, self.high = min(usable), max(usable)
        if self.log:
            self.low = max(self.low, self.high / 10**DECADES_MAX)
            self.low, self.high = self.low / 1.15, self.high * 1.25
        else:
            margin = (self.high - self.low) * 0.04 or abs(self.high) or 1.0
            self.low, self.high = self.low - margin, self.high + margin

    def place(self, value: float) -> float:
        """Return where a value is drawn; what is below the axis' end is drawn at its end."""
        if self.log:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.first + min(max(share, 0.0), 1.0) * (self.last - self.first)

    def shows(self, value: float) -> bool:
        """Tell whether a value lies within the axis."""
        return self.low <= value <= self.high

    def ticks(self) -> list[tuple[float, str]]:
        """Return values to mark; those without a label are minor."""
        return self._decades() if self.log else self._steps()

    def _decades(self) -> list[tuple[float, str]]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        several = sum(self.shows(10.0**power) for power in powers) >= 2
        labelled = (1,) if several else (1, 2, 5)
        return [
            (factor * 10.0**power, _power(factor, power) if factor in labelled else "")
            for power in powers
            for factor in range(1, 10)
            if self.shows(factor * 10.0**power)
        ]

    def _steps(self) -> list[tuple[float, str]]:
        rough = (self.high - self.low) / 9
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
        digits = max(0, -math.floor(math.log10(step)))
        numbers = range(math.ceil(self.low / step), math.floor(self.high / step) + 1)
        return [(number * step, _plain(number * step, digits)) for number in numbers]


def _power(factor: int, power: int) -> str:
    if -2 <= power <= 3:
        return f"{factor * 10.0**power:g}"
    ten = "10" + str(power).translate(SUPERSCRIPT)
    return ten if factor == 1 else f"{factor}·{ten}"


def _plain(value: float, digits: int) -> str:
    if abs(value) >= 1e5:
        power = math.floor(math.log10(abs(value)))
        return f"{value / 10**power:g}·10{str(power).translate(SUPERSCRIPT)}".replace("-", "−")
    return f"{value:.{digits}f}".replace("-", "−")


def plot(curve: Found) -> str:
    """Return a curve as inline SVG: grid, labelled axes, points with error bars, lines, legend."""
    every = curve["series"]
    x = Axis([value for series in every for value in series["x"]], curve["x"]["scale"], LEFT, WIDTH - RIGHT)
    y = Axis([value for series in every for value in series["y"]], curve["y"]["scale"], HEIGHT - BOTTOM, TOP)
    marks = "".join(
        _line(series, x, y, number) for number, series in enumerate(every) if series["style"] == "line"
    )
    marks += "".join(
        _points(series, x, y, number) for number, series in enumerate(every) if series["style"] != "line"
    )
    names = ", ".join(f"{series['name']} ({len(series['x'])} points)" for series in every)
    labels = [
        f"{axis['name']} [{axis['unit']}]" if axis["unit"] else axis["name"]
        for axis in (curve["x"], curve["y"])
    ]
    ends = f"x from {x.low:.3g} to {x.high:.3g}, y from {y.low:.3g} to {y.high:.3g}"
    described = escape(f"{curve['title']}: {labels[1]} over {labels[0]}: {names}; {ends}.")
    right, bottom, across = WIDTH - RIGHT, HEIGHT - BOTTOM, (LEFT + WIDTH - RIGHT) / 2
    middle = (TOP + HEIGHT - BOTTOM) / 2
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{described}">'
        f"{_grid(x, y)}{marks}"
        f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{right - LEFT}" height="{bottom - TOP}"/>'
        f'<text x="{across}" y="{HEIGHT - 14}" text-anchor="middle">{escape(labels[0])}</text>'
        f'<text transform="translate(22 {middle}) rotate(-90)" text-anchor="middle">'
        f"{escape(labels[1])}</text>"
        f"{_legend(every)}</svg>"
    )


def _grid(x: Axis, y: Axis) -> str:
    parts = []
    bottom = HEIGHT - BOTTOM
    for value, label in x.ticks():
        place = f"{x.place(value):.1f}"
        if label:
            parts.append(f'<path class="grid" d="M{place} {TOP}V{bottom}"/>')
            parts.append(
                f'<text class="tick" x="{place}" y="{bottom + 22}" text-anchor="middle">{label}</text>'
            )
        parts.append(f'<path class="mark" d="M{place} {bottom}v{-8 if label else -4}"/>')
    for value, label in y.ticks():
        place = f"{y.place(value):.1f}"
        if label:
            parts.append(f'<path class="grid" d="M{LEFT} {place}H{WIDTH - RIGHT}"/>')
            parts.append(
                f'<text class="tick" x="{LEFT - 10}" y="{place}" dy=".35em" text-anchor="end">{label}</text>'
            )
        parts.append(f'<path class="mark" d="M{LEFT} {place}h{8 if label else 4}"/>')
    return "".join(parts)


def _points(series: Found, x: Axis, y: Axis, number: int) -> str:
    errors = series.get("error") or [0.0] * len(series["x"])
    bars, dots = [], []
    for a, b, error in zip(series["x"], series["y"], errors, strict=True):
        if not (x.shows(a) and y.shows(b)):
            continue
        across, up = x.place(a), y.place(b)
        dots.append(f"M{across:.1f} {up:.1f}h0")
        high, low = y.place(b + error), y.place(b - error)
        if low - high > 5:
            bars.append(f"M{across:.1f} {high:.1f}V{low:.1f}")
    drawn = (("bars", bars), ("dots", dots))
    return "".join(f'<path class="{kind} s{number}" d="{"".join(paths)}"/>' for kind, paths in drawn)


def _line(series: Found, x: Axis, y: Axis, number: int) -> str:
    places = [
        f"{x.place(a):.1f} {y.place(b):.1f}"
        for a, b in zip(series["x"], series["y"], strict=True)
        if x.shows(a) and y.shows(b)
    ]
    return f'<path class="line s{number}" d="M{"L".join(places)}"/>' if places else ""


def _legend(every: list[Found]) -> str:
    if len(every) < 2:
        return ""
    parts = []
    for number, series in enumerate(every):
        up = TOP + 24 + 22 * number
        mark = f"M{WIDTH - 230} {up}h24" if series["style"] == "line" else f"M{WIDTH - 218} {up}h0"
        kind = "line" if series["style"] == "line" else "dots"
        parts.append(f'<path class="{kind} s{number}" d="{mark}"/>')
        parts.append(
            f'<text class="tick" x="{WIDTH - 196}" y="{up}" dy=".35em">{escape(series["name"])}</text>'
        )
    return "".join(parts)
