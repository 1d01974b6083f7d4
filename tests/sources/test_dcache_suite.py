"""dCache's event streams keep the contract of a source."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from penstock.core.event import Event
from penstock.core.ports import SourceContext
from penstock.outside.secret import Secret
from penstock.sources.dcache.settings import DCacheSseSettings
from penstock.sources.dcache.streams import DCacheSseSource
from penstock.testing.dcache.site import SimulatedDCache
from penstock.testing.source_suite import SourceSuite


class TestDCacheSse(SourceSuite):
    dcache: SimulatedDCache

    @pytest.fixture(autouse=True)
    async def _dcache(self, tmp_path: Path, anyio_backend: str) -> AsyncIterator[None]:
        (tmp_path / "token").write_text("token")
        async with SimulatedDCache() as self.dcache:
            self.dcache.make_folder("/raw")
            yield

    def open(self, context: SourceContext) -> DCacheSseSource:
        settings = DCacheSseSettings(
            frontend=self.dcache.frontend.address,
            token=Secret(file=str(self.folder / "token")),
            storage="d",
            folders=("/raw",),
        )
        return DCacheSseSource.open(settings, context)

    async def tell(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.dcache.write(f"/raw/{number}", b"x")

    async def poison(self) -> None:
        for channel in self.dcache.frontend.channels.values():
            channel.garbage(b'{"event":{"mask":5}}')

    def number(self, event: Event) -> int:
        assert event.subject is not None
        return int(event.subject.rpartition("/")[2])
