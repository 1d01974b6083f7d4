"""Every state passes the same suite."""

from __future__ import annotations

import pytest

from penstock.state.embedded import EmbeddedState
from penstock.testing.state import MemoryState
from penstock.testing.state_suite import StateSuite


class TestEmbeddedState(StateSuite):
    def open(self) -> EmbeddedState:
        return EmbeddedState(self.folder / "state.db")

    def close(self, state: EmbeddedState) -> None:
        state.close()


class TestEmbeddedStateByPages(TestEmbeddedState):
    """Pages of the ledger smaller than what is staged."""

    @pytest.fixture(autouse=True)
    def _small_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("penstock.state.embedded.FILES_PAGE", 2)


class TestMemoryState(StateSuite):
    persistent = False

    def open(self) -> MemoryState:
        return MemoryState()
