"""Dead letters, and which of them newer content settles."""

from __future__ import annotations

from msgspec.structs import replace

from penstock.core.event import NEW_CONTENT, Event
from penstock.core.policy import LOCAL_TENANT
from penstock.core.ports import State
from penstock.core.rows import DeadLetter, DeadLetterKind, RunRow
from penstock.core.run import Run

OPEN = "open"
SUPERSEDED = "superseded"


class Letters:
    """Puts dead letters into state, and closes them.

    Which files have open ones is known in memory, so that a run that succeeds need not ask the state.

    Args:
        state: Where they are kept.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._subjects: set[str] = set()

    def load(self) -> None:
        """Learn which files have open letters."""
        self._subjects = {letter.subject for letter in self._state.select(DeadLetter, state=OPEN)}

    def put(self, letter: DeadLetter) -> None:
        """Keep a letter."""
        self._state.put(letter)
        if letter.state == OPEN:
            self._subjects.add(letter.subject)

    def keep(self, letter: DeadLetter) -> None:
        """Keep a letter that a source wrote, who knows no tenants."""
        self.put(replace(letter, tenant=LOCAL_TENANT))

    def close(self, letter_id: str, state: str) -> None:
        """Close a letter as ``replayed``, ``dropped`` or ``superseded``."""
        letter = self._state.get(DeadLetter, letter_id)
        if letter is not None:
            self._state.put(replace(letter, state=state))

    def succeeded(self, run: Run, event: Event) -> None:
        """A run succeeded on a file's content: what its workflow failed at with older content needs
        nobody any more. Another workflow's failure still does, and so do all that are about no file."""
        if event.type not in NEW_CONTENT or run.subject not in self._subjects:
            return
        self._subjects.discard(run.subject)
        for letter in self._state.select(DeadLetter, subject=run.subject, state=OPEN):
            if letter.kind == DeadLetterKind.NOTICE or self._failed_before(letter, run):
                self.close(letter.id, SUPERSEDED)
            else:
                self._subjects.add(run.subject)

    def _failed_before(self, letter: DeadLetter, run: Run) -> bool:
        failed = self._state.get(RunRow, letter.run) if letter.kind == DeadLetterKind.STEP else None
        return (
            failed is not None
            and failed.workflow.rsplit("@", 1)[0] == run.workflow.rsplit("@", 1)[0]
            and failed.started_ns <= run.started_ns
        )
