"""The state in PostgreSQL, on a real server."""

from __future__ import annotations

import pytest
from tests.servers.postgres import Postgres

from penstock.state.postgres.settings import PostgresSettings
from penstock.state.postgres.state import PostgresState
from penstock.testing.state_suite import StateSuite


@pytest.fixture
def settings(postgres: Postgres) -> PostgresSettings:
    """A schema of its own."""
    return postgres.fresh()


class TestPostgresState(StateSuite):
    @pytest.fixture(autouse=True)
    def _settings(self, settings: PostgresSettings) -> None:
        self.settings = settings

    def open(self) -> PostgresState:
        return PostgresState(self.settings, 0)

    def close(self, state: PostgresState) -> None:
        state.close()


@pytest.mark.slow
class TestPostgresStateByPages(TestPostgresState):
    """Pages of the ledger smaller than what is staged."""

    @pytest.fixture(autouse=True)
    def _small_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("penstock.state.postgres.state.FILES_PAGE", 2)
