"""Open dead letters by what they are about, so that newer content that succeeds closes them."""

from __future__ import annotations

from collections import defaultdict

from msgspec.structs import replace

from penstock.core.ports import State
from penstock.core.rows import DeadLetter

OPEN = "open"
SUPERSEDED = "superseded"


class Letters:
    """Keeps track of open dead letters.

    Args:
        state: Where they are kept.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._open: dict[str, set[str]] = defaultdict(set)

    def load(self) -> None:
        """Take over what state remembers."""
        for letter in self._state.select(DeadLetter, state=OPEN):
            self._open[letter.subject].add(letter.id)

    def put(self, letter: DeadLetter) -> None:
        """Keep a letter."""
        if letter.state == OPEN:
            self._open[letter.subject].add(letter.id)
        self._state.put(letter)

    def close(self, letter_id: str, state: str) -> None:
        """Close a letter as ``replayed``, ``dropped`` or ``superseded``."""
        letter = self._state.get(DeadLetter, letter_id)
        if letter is None:
            return
        self._state.put(replace(letter, state=state))
        self._open[letter.subject].discard(letter_id)
        if not self._open[letter.subject]:
            del self._open[letter.subject]

    def succeeded(self, subject: str) -> None:
        """A run on ``subject`` succeeded: what failed on earlier content of it needs nobody any more."""
        for letter_id in list(self._open.get(subject, ())):
            self.close(letter_id, SUPERSEDED)

    @property
    def count(self) -> int:
        """How many are open."""
        return sum(len(letters) for letters in self._open.values())
