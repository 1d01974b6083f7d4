"""What the engine does when asked over its channel. Every wish becomes an event on the log first."""

from penstock.server.commands.table import Commands, embedded_commands

__all__ = ["Commands", "embedded_commands"]
