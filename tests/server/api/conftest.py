"""One running installation for all tests of the API."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from tests.server.api.served import HERE, Served


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An installation with its API, with the functions of this folder deployed."""
    installation = Served(tmp_path_factory.mktemp("api"))
    installation.start(api=True)
    asyncio.run(installation.deploy(HERE / "functions.py"))
    installation.address()
    yield installation
    assert installation.stop() == 0, installation.said()
    assert "Traceback" not in installation.said(), installation.said()
