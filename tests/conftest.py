"""What every test may use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest

pytest_plugins = ("tests.servers.plugin",)

SERVERS = frozenset({"activemq", "far_kafka", "kafka", "postgres", "servers", "xrootd"})
"""Fixtures with real servers: what needs one is slow."""
IN_CI = os.environ.get("CI") == "true"


def need(program: str, package: str) -> str:
    """Return the path of a program; without it fail in CI, and skip on a laptop."""
    path = shutil.which(program)
    if path is None:
        message = f"{program} is missing (sudo apt install {package})"
        if IN_CI:
            pytest.fail(message)
        pytest.skip(message)
    return path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave real servers out of the inner loop."""
    for item in items:
        if not SERVERS.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def program() -> Callable[[str, str], str]:
    """``program(name, package)``: the path of a program, else fail in CI and skip on a laptop."""
    return need


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio; uvloop is only a faster one."""
    return "asyncio"
