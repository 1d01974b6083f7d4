"""What processes say of themselves: lines for people, or a JSON object a line for collectors."""

from __future__ import annotations

import logging
from typing import Literal

import msgspec

from penstock.core.event import rfc3339


class JsonLines(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``logger``, ``message``; ``error`` has a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def take_form(form: Literal["text", "json"]) -> None:
    """Let the messages that this process writes, wherever they go, have this form."""
    if form == "json":
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonLines())
