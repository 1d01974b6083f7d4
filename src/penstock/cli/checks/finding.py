"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import asdict, dataclass

HOLDS, NOTE, FAILS = "holds", "note", "fails"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What.
        state: ``holds``, ``note`` (worth knowing) or ``fails`` (needs doing).
        message: What was found.
        remedy: What to do about it; empty if nothing.
    """

    name: str
    state: str
    message: str
    remedy: str = ""

    def document(self) -> dict[str, str]:
        """Return it as one JSON object."""
        return asdict(self)
