"""Dead letters, and events of the past run again."""

from __future__ import annotations

from typing import Any

from penstock.client.asking import JSON, Asking, segment


class Letters(Asking):
    """What could not be processed, and what is to be processed again."""

    def dead_letters(self, limit: int = 100, **query: Any) -> list[JSON]:
        """Return dead letters, newest first.

        Args:
            limit: Most letters.
            **query: ``state`` (open, replayed, dropped or superseded), ``kind`` (notice, event, step or
                loop), ``subject`` (a glob), ``reason`` (a part of it).
        """
        return list(self._pages("/dead-letters", "dead_letters", "before", limit, query))

    def dead_letter(self, letter: str) -> JSON:
        """Return a dead letter with what it holds."""
        return dict(self._get(f"/dead-letters/{segment(letter)}"))

    def replay_letter(self, letter: str, event: JSON | None = None) -> Any:
        """Try again what a dead letter holds, or ``event`` in its place."""
        body = {} if event is None else {"event": event}
        return self._post(f"/dead-letters/{segment(letter)}/replay", body)

    def drop_letter(self, letter: str) -> Any:
        """Close a dead letter without another try."""
        return self._ask("DELETE", f"/dead-letters/{segment(letter)}")

    def replay(
        self, trigger: str, since: str, until: str = "", *, again: bool = False, dry_run: bool = False
    ) -> JSON:
        """Run a trigger on events of the past; ``again`` also on those that it has run on."""
        body = {"trigger": trigger, "since": since, "until": until, "again": again, "dry_run": dry_run}
        return dict(self._post("/replay", body))
