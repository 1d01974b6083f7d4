"""What a replay of the log commands and raises, noted until the log is read to its end."""

from __future__ import annotations

from penstock.core.event import Event
from penstock.core.run import Call, Command, Stop, Wait

Key = tuple[str, str, int, int]
"""Run, step, item, attempt; the attempt negative for a wait before it."""


class Noted:
    """Commands that nothing on the log has answered yet, and events that it does not hold yet.

    Attributes:
        commands: Key to run and command, in the order in which they were given.
        events: By their ids.
    """

    def __init__(self) -> None:
        self.commands: dict[Key, tuple[str, Command]] = {}
        self.events: dict[str, Event] = {}

    def note(self, run: str, command: Command) -> None:
        """Note a call or a wait; a stop strikes off what it stops."""
        if isinstance(command, Call):
            self.commands[run, command.step, command.item, command.attempt] = (run, command)
        elif isinstance(command, Wait):
            self.commands[run, command.step, command.item, -command.attempt] = (run, command)
        elif isinstance(command, Stop):
            self.strike(run, command.step, command.item, command.attempt)
            self.strike(run, command.step, command.item, -command.attempt - 1)

    def strike(self, run: str, step: str, item: int, attempt: int) -> bool:
        """The log holds the answer; return whether the command was noted."""
        return self.commands.pop((run, step, item, attempt), None) is not None
