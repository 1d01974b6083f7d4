"""Every runtime passes the same suite."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.core.ports import AnswerSink, Runtime
from penstock.functions.pool import Pool
from penstock.functions.settings import PoolSettings
from penstock.testing.runtime import FakeRuntime
from penstock.testing.runtime_suite import NAMES, PROBE, RuntimeSuite


class TestPool(RuntimeSuite):
    def open(self, answered: AnswerSink) -> Runtime:
        settings = PoolSettings(scratch=str(self.folder / "scratch"), logs=str(self.folder / "logs"))
        return Pool(settings, answered)


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": True})])
class TestPoolOnUvloop(TestPool):
    pass


class TestFakeRuntime(RuntimeSuite):
    def open(self, answered: AnswerSink) -> Runtime:
        functions: dict[str, Any] = {}
        exec(PROBE, functions)
        named = {self.function(name).reference: functions[name] for name in NAMES}
        return FakeRuntime(answered, named, self.folder / "scratch")
