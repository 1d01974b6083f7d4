"""Every state passes the same suite."""

from __future__ import annotations

import pytest
from tests.servers.postgres import Postgres

from penstock.state.embedded import EmbeddedState
from penstock.state.postgres.state import PostgresState
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
        monkeypatch.setattr("penstock.state.pages.FILES_PAGE", 2)


class TestPostgresState(StateSuite):
    @pytest.fixture(autouse=True)
    def _settings(self, postgres: Postgres) -> None:
        self.settings = postgres.fresh()

    def open(self) -> PostgresState:
        return PostgresState(self.settings, 0)

    def close(self, state: PostgresState) -> None:
        state.close()


@pytest.mark.slow
class TestPostgresStateByPages(TestPostgresState):
    """Pages of the ledger smaller than what is staged."""

    @pytest.fixture(autouse=True)
    def _small_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("penstock.state.postgres.pages.FILES_PAGE", 2)


class TestMemoryState(StateSuite):
    persistent = False

    def open(self) -> MemoryState:
        return MemoryState()
