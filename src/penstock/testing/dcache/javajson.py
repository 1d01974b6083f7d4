"""JSON as dCache's serialiser writes it: members in a Java hash map's order, numbers as Java prints them.

Order carries no meaning, but a simulator that writes the very bytes cannot flatter the reader.
"""

from __future__ import annotations

from typing import Any

_SMALLEST = 16
_LOAD = 0.75
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


class Shrunk(dict[str, Any]):
    """An object that had more members once: its map stays as large as it has grown.

    Attributes:
        removed: Members that were taken out.
    """

    def __init__(self, members: dict[str, Any], removed: int) -> None:
        super().__init__(members)
        self.removed = removed


def encode(value: Any) -> bytes:
    """Return a JSON document; members whose value is None are left out."""
    return _text(value).encode()


def in_java_order(members: dict[str, Any]) -> list[str]:
    """Return the names in the order in which a Java ``HashMap`` that they were put into yields them."""
    count = len(members) + (members.removed if isinstance(members, Shrunk) else 0)
    buckets = _SMALLEST
    while count > buckets * _LOAD:
        buckets *= 2
    return sorted(members, key=lambda name: _hash(name) & (buckets - 1))


def _hash(name: str) -> int:
    code = 0
    units = name.encode("utf-16-be")
    for high, low in zip(units[::2], units[1::2], strict=True):
        code = (31 * code + (high << 8 | low)) & 0xFFFFFFFF
    return code ^ (code >> 16)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        present: dict[str, Any] = {name: each for name, each in value.items() if each is not None}
        if isinstance(value, Shrunk):
            present = Shrunk(present, value.removed)
        members = (f"{_quoted(name)}:{_text(present[name])}" for name in in_java_order(present))
        return "{" + ",".join(members) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_text(each) for each in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _double(value)
    return str(value) if isinstance(value, int) else _quoted(value)


def _double(value: float) -> str:
    """Return a number as Java prints it, without the zeros that the JSON library strips."""
    if value == int(value) and abs(value) < 1e7:
        return str(int(value))
    if 1e-3 <= abs(value) < 1e7:
        return repr(value)
    digits, _, exponent = f"{value!r}e0".partition("e")
    mantissa, power = _normalised(digits, int(exponent.removesuffix("e0") or 0))
    return f"{mantissa}E{power}"


def _normalised(digits: str, power: int) -> tuple[str, int]:
    sign = "-" if digits.startswith("-") else ""
    whole, _, rest = digits.lstrip("-").partition(".")
    power += len(whole) - 1
    figures = (whole + rest).rstrip("0") or "0"
    stripped = figures.lstrip("0") or "0"
    power -= len(figures) - len(stripped)
    return f"{sign}{stripped[0]}.{stripped[1:] or '0'}", power


def _quoted(text: str) -> str:
    written, before = [], ""
    for char in text:
        if char == "/" and before == "<":
            written.append("\\/")
        elif char in _ESCAPES:
            written.append(_ESCAPES[char])
        elif char < " " or "\x80" <= char < "\xa0" or "\u2000" <= char < "\u2100":
            written.append(f"\\u{ord(char):04x}")
        else:
            written.append(char)
        before = char
    return '"' + "".join(written) + '"'
