"""What every source that outside systems call must do: subclass ``ReceiverSuite`` in your tests.

::

    class TestMyHook(ReceiverSuite):
        def open(self, context):
            return MyHook(MySettings(storage="store"), context)

        def request(self, number):
            return {"authorization": "Bearer SECRET"}, b'{"n": %d}' % number

        def stranger(self):
            return {}, b'{"n": 0}'

        def poison(self):
            return {"authorization": "Bearer SECRET"}, b"what?"

It needs pytest with anyio.
"""

# ruff: noqa: D102 - a suite of tests; their names say what they are about

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from penstock.core.errors import Invalid, Unauthenticated
from penstock.core.event import decode, encode
from penstock.core.ports import SourceContext
from penstock.testing.source_suite import FIRST_S, Following, Site, check_letter


class ReceiverSuite:
    """The contract of ``core.ports.Receiver``, as tests."""

    folder: Path

    def open(self, context: SourceContext) -> Any:
        """Return the source."""
        raise NotImplementedError

    def request(self, number: int) -> tuple[Mapping[str, str], bytes]:
        """Return headers and body of a request that tells of something, secret and all."""
        raise NotImplementedError

    def stranger(self) -> tuple[Mapping[str, str], bytes]:
        """Return the same by somebody who does not know the secret."""
        raise NotImplementedError

    def poison(self) -> tuple[Mapping[str, str], bytes]:
        """Return a request with the secret, and a body that cannot be read."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def test_a_request_becomes_events_that_the_log_can_keep(self) -> None:
        events = self.open(Site().context).receive(*self.request(0))
        assert events
        for event in events:
            assert decode(encode(event)) == event
            assert event.source.startswith("/")

    def test_a_request_that_is_sent_again_has_the_same_ids(self) -> None:
        first = self.open(Site().context).receive(*self.request(0))
        again = self.open(Site().context).receive(*self.request(0))
        other = self.open(Site().context).receive(*self.request(1))
        assert [event.id for event in first] == [event.id for event in again]
        assert not {event.id for event in first} & {event.id for event in other}

    def test_a_stranger_is_refused_and_leaves_nothing(self) -> None:
        site = Site()
        with pytest.raises(Unauthenticated):
            self.open(site.context).receive(*self.stranger())
        assert site.letters == []

    def test_poison_is_refused_or_a_dead_letter_and_stops_nothing(self) -> None:
        site = Site()
        source = self.open(site.context)
        with suppress(Invalid):
            assert list(source.receive(*self.poison())) == []
            assert site.letters
        for letter in site.letters:
            check_letter(letter)
        assert source.receive(*self.request(0))

    @pytest.mark.anyio
    async def test_poison_is_on_disk_before_it_is_acknowledged(self) -> None:
        site = Site()
        source = self.open(site.context)
        with suppress(Invalid):
            source.receive(*self.poison())
        await source.settled()
        assert site.kept == len(site.letters)

    @pytest.mark.anyio
    async def test_its_stream_waits_until_it_is_closed(self) -> None:
        source = self.open(Site().context)
        asked = Following(source).ask()
        await asyncio.sleep(0)
        assert not asked.done()
        await source.close()
        async with asyncio.timeout(FIRST_S):
            assert await asked is None
