"""Every log passes the same suite."""

from __future__ import annotations

import pytest

from penstock.log.embedded import EmbeddedLog, LogSettings
from penstock.testing.log import MemoryLog
from penstock.testing.log_suite import LogSuite


class TestEmbeddedLog(LogSuite):
    def open(self) -> EmbeddedLog:
        return EmbeddedLog(self.folder / "log")

    def close(self, log: EmbeddedLog) -> None:
        log.close()


class TestEmbeddedLogWithTinyPieces(TestEmbeddedLog):
    """Segments and memory much smaller than what is appended."""

    def open(self) -> EmbeddedLog:
        return EmbeddedLog(self.folder / "log", LogSettings(segment_bytes=5000, tail_records=7))


class TestEmbeddedLogWithoutMemory(TestEmbeddedLog):
    def open(self) -> EmbeddedLog:
        return EmbeddedLog(self.folder / "log", LogSettings(tail_records=0, tail_bytes=0))


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": True})])
class TestEmbeddedLogOnUvloop(TestEmbeddedLog):
    pass


class TestMemoryLog(LogSuite):
    persistent = False

    def open(self) -> MemoryLog:
        return MemoryLog()
