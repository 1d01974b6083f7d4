"""Drawing a picture with axes and a colour bar, with Pillow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

MAIN_PX = 900
WIDE_PX = 1500
ZOOM_PX = 420
ZOOM_SOURCE_PX = 280

# Pillow's own font, there on every machine, has no "Å", "µ" and "−": units are spelt out.
BACKGROUND, INK, FAINT, MASKED, MARK = (
    (16, 20, 27),
    (222, 227, 234),
    (132, 142, 156),
    (148, 108, 122),
    (255, 122, 69),
)
VIRIDIS = (
    *(0x440154, 0x482475, 0x414487, 0x355F8D, 0x2A788E, 0x21918C),
    *(0x22A884, 0x44BF70, 0x7AD151, 0xBDDF26, 0xFDE725),
)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What is shown: values as a float array, row 0 on top, NaN where masked, and what its edges mean.

    Attributes:
        values: Rows and columns.
        x: Value at the left edge and at the right edge.
        y: Value at the upper edge and at the lower edge.
        x_label: What runs to the right, with its unit.
        y_label: What runs along the rows, with its unit.
        label: What the colours mean, with the unit.
        masked: What a masked pixel is here.
    """

    values: Any
    x: tuple[float, float]
    y: tuple[float, float]
    x_label: str
    y_label: str
    label: str
    masked: str


def draw(picture: Picture) -> tuple[Any, tuple[float, float]]:
    """Return the image, and the values that the ends of its colour bar stand for."""
    wide = picture.values.shape[0] * 3 < picture.values.shape[1]
    main = _fit(picture.values, WIDE_PX if wide else MAIN_PX)
    positive = main[np.isfinite(main) & (main > 0)]
    low, high = _range(positive)
    rows, columns = main.shape
    left, top = 96, 28
    # A wide picture has its legend below, any other beside it.
    corner = (left, top + rows + 92) if wide else (left + columns + 44, top)
    size = (
        (left + columns + 28, corner[1] + 142)
        if wide
        else (corner[0] + ZOOM_PX + 28, max(top + rows + 76, 640))
    )
    canvas = Image.new("RGB", size, BACKGROUND)
    pen = ImageDraw.Draw(canvas)
    canvas.paste(_colours(main, low, high), (left, top))
    _axes(pen, canvas, picture, (left, top, columns, rows))
    if min(picture.values.shape) > 3 * ZOOM_SOURCE_PX and not wide:
        below = _zoom(pen, canvas, picture, (left, top, columns, rows), corner[0], (low, high))
        corner = (corner[0], below)
    _colour_bar(pen, canvas, picture, corner, (low, high))
    return canvas, (low, high)


def _range(positive: Any) -> tuple[float, float]:
    if not positive.size:
        return 1.0, 10.0
    low, high = float(np.percentile(positive, 0.5)), float(positive.max())
    return (low, high) if high > 1.5 * low else (low / 3, high * 3)


def _fit(values: Any, pixels: int) -> Any:
    """Return the values averaged over square blocks (masked where most is), or repeated, to fit."""
    rows, columns = values.shape
    block = max(1, math.ceil(max(rows, columns) / pixels))
    if block > 1:
        values = np.pad(values, ((0, -rows % block), (0, -columns % block)), constant_values=np.nan)
        tiles = values.reshape(values.shape[0] // block, block, -1, block)
        good = np.isfinite(tiles)
        count = good.sum(axis=(1, 3))
        total = np.where(good, tiles, 0).sum(axis=(1, 3))
        values = np.where(count * 2 > block * block, total / np.maximum(count, 1), np.nan)
    rows, columns = values.shape
    across = max(1, pixels // columns)
    down = across if 0.5 < rows / columns < 2 else max(1, pixels * 2 // 5 // rows)
    return np.repeat(np.repeat(values, down, axis=0), across, axis=1)


def _colours(values: Any, low: float, high: float) -> Any:
    """Return an image: viridis over the logarithm, zeros in its darkest colour, masked pixels grey."""
    anchors = np.array([[code >> shift & 255 for shift in (16, 8, 0)] for code in VIRIDIS])
    with np.errstate(divide="ignore", invalid="ignore"):
        level = np.log(np.maximum(values, low) / low) / np.log(high / low)
    position = np.clip(np.nan_to_num(level), 0, 1) * (len(anchors) - 1)
    channels = [np.interp(position, np.arange(len(anchors)), anchors[:, channel]) for channel in range(3)]
    pixels = np.stack(channels, axis=-1).astype(np.uint8)
    pixels[np.isnan(values)] = MASKED
    return Image.fromarray(pixels)


def _axes(pen: Any, canvas: Any, picture: Picture, box: tuple[int, int, int, int]) -> None:
    left, top, width, height = box
    pen.rectangle((left - 1, top - 1, left + width, top + height), outline=FAINT)
    for value, place in _ticks(*picture.x, width):
        pen.line((left + place, top + height, left + place, top + height + 7), fill=FAINT)
        pen.text((left + place, top + height + 11), value, fill=INK, font=_font(19), anchor="ma")
    for value, place in _ticks(*picture.y, height):
        pen.line((left - 8, top + place, left - 1, top + place), fill=FAINT)
        pen.text((left - 12, top + place), value, fill=INK, font=_font(19), anchor="rm")
    pen.text((left + width / 2, top + height + 40), picture.x_label, fill=INK, font=_font(21), anchor="ma")
    sideways = Image.new("RGB", (height, 30), BACKGROUND)
    writer = ImageDraw.Draw(sideways)
    writer.text((height / 2, 15), picture.y_label, fill=INK, font=_font(21), anchor="mm")
    canvas.paste(sideways.rotate(90, expand=True), (2, top))


def _ticks(first: float, last: float, length: int) -> list[tuple[str, float]]:
    """Return labels and distances from the first end, at round values."""
    low, high = min(first, last), max(first, last)
    rough = (high - low) / max(length / 130, 1) or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    digits = max(0, -math.floor(math.log10(step)))
    values = [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
    text = [f"{value:.{digits}f}" if value else "0" for value in values]
    return [
        (label, (value - first) / (last - first) * length) for label, value in zip(text, values, strict=True)
    ]


def _zoom(
    pen: Any,
    canvas: Any,
    picture: Picture,
    box: tuple[int, int, int, int],
    left: int,
    ends: tuple[float, float],
) -> int:
    """Draw the surroundings of the brightest part in full resolution; return where the free space begins."""
    rows, columns = picture.values.shape
    row, column = _brightest(picture.values)
    half = ZOOM_SOURCE_PX // 2
    row, column = min(max(row, half), rows - half), min(max(column, half), columns - half)
    part = picture.values[row - half : row + half, column - half : column + half]
    pen.text((left, box[1] - 4), "Brightest part, every pixel", fill=INK, font=_font(21))
    top = box[1] + 32
    canvas.paste(_colours(part, *ends).resize((ZOOM_PX, ZOOM_PX), Image.Resampling.NEAREST), (left, top))
    pen.rectangle((left - 2, top - 2, left + ZOOM_PX + 1, top + ZOOM_PX + 1), outline=MARK, width=2)
    scale = box[2] / columns
    corner = (box[0] + (column - half) * scale, box[1] + (row - half) * scale)
    pen.rectangle(
        (*corner, corner[0] + 2 * half * scale, corner[1] + 2 * half * scale), outline=MARK, width=2
    )
    note = f"columns {column - half} to {column + half}, rows {row - half} to {row + half}"
    pen.text((left, top + ZOOM_PX + 10), note, fill=FAINT, font=_font(18))
    return top + ZOOM_PX + 62


def _brightest(values: Any) -> tuple[int, int]:
    """Return the middle of the brightest block; its median, so that single hot pixels do not count."""
    block = 48
    rows, columns = (length // block * block for length in values.shape)
    tiles = values[:rows, :columns].reshape(rows // block, block, -1, block).swapaxes(1, 2)
    tiles = np.where(np.isnan(tiles), -1, tiles).reshape(*tiles.shape[:2], -1)
    row, column = np.unravel_index(np.argmax(np.median(tiles, axis=2)), tiles.shape[:2])
    return int(row) * block + block // 2, int(column) * block + block // 2


def _colour_bar(
    pen: Any, canvas: Any, picture: Picture, corner: tuple[int, int], ends: tuple[float, float]
) -> None:
    left, top = corner
    low, high = ends
    pen.text((left, top), picture.label, fill=INK, font=_font(21))
    ramp = np.geomspace(low, high, ZOOM_PX)[None].repeat(26, axis=0)
    canvas.paste(_colours(ramp, low, high), (left, top + 34))
    for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1):
        place = left + math.log(10.0**power / low) / math.log(high / low) * ZOOM_PX
        pen.line((place, top + 60, place, top + 67), fill=FAINT)
        label = f"{10.0**power:g}"
        pen.text((place, top + 71), label, fill=INK, font=_font(19), anchor="ma")
    if np.isnan(picture.values).any():
        pen.rectangle((left, top + 112, left + 26, top + 132), fill=MASKED, outline=FAINT)
        pen.text((left + 38, top + 122), f"masked: {picture.masked}", fill=INK, font=_font(18), anchor="lm")


def _font(size: int) -> Any:
    return ImageFont.load_default(size)
