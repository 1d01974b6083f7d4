"""One write, seen by billing, the event stream, a listing and again: one content event, in any order."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.core.event import FILE_CREATED, Event, content_id, file_record
from penstock.outside.secret import Secret
from penstock.sources.dcache.billing import Billing
from penstock.sources.dcache.paths import KnownPaths
from penstock.sources.dcache.settings import DCacheSseSettings
from penstock.sources.dcache.streams import DCacheSseSource
from penstock.testing.dcache.following import Folding, Following
from penstock.testing.dcache.frontend import Trouble
from penstock.testing.dcache.site import SimulatedDCache

ROOT = "/pnfs/example.org"
RAW = f"{ROOT}/p11/raw"
FILES = ("plain.h5", "кадр 1.cbf", "srm.root", "secret")


class Heard(NamedTuple):
    """What each of those who tell said of the same writes: their events by path."""

    contents: dict[str, str]
    billing: list[Event]
    stream: list[Event]
    listing: list[Event]


async def _listen(folder: Path) -> Heard:
    token = folder / "token"
    token.write_text("token")
    records: list[bytes] = []
    async with SimulatedDCache(records.append, publishers=("direct", "billing"), root=ROOT) as dcache:
        dcache.make_folder(RAW)
        dcache.frontend.troubles.append(Trouble("GET /api/v1/namespace/p11/raw/secret", status=403))
        wanted = DCacheSseSettings(
            frontend=dcache.frontend.address,
            token=Secret(file=str(token)),
            storage="d",
            folders=("/p11/raw",),
        )
        async with Following(lambda context: DCacheSseSource.open(wanted, context)) as following:
            await following.ready()
            entries = [
                dcache.write_by_srm(f"{RAW}/{name}", b"x")
                if name == "srm.root"
                else dcache.write(f"{RAW}/{name}", b"x")
                for name in FILES
            ]
            await following.until(lambda: len(following.told) == len(FILES))
            source = following.source
            assert isinstance(source, DCacheSseSource)
            listing = [event async for batch in source.listing() for event in batch]
        billing = Billing("d", KnownPaths(10))
        told = [event for record in records if (event := billing.event(record)) is not None]
        contents = {each.path: content_id("d", each.path.encode(), each.pnfsid) for each in entries}
        return Heard(contents, told, following.raw, listing)


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Heard:
    return asyncio.run(_listen(tmp_path_factory.mktemp("dcache")))


def test_all_who_tell_of_a_write_give_it_one_id(heard: Heard) -> None:
    for who in (heard.billing, heard.listing, [each for each in heard.stream if file_record(each).version]):
        for event in who:
            assert event.type == FILE_CREATED
            assert event.id == heard.contents[file_record(event).path]
    assert len({each.id for each in heard.billing}) == len(FILES)
    assert len({each.id for each in heard.listing}) == len(FILES)
    (bare,) = (each for each in heard.stream if not file_record(each).version)
    assert file_record(bare).path == f"{RAW}/secret"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_each_write_is_told_once_whoever_comes_first_and_whatever_is_lost(
    heard: Heard, data: st.DataObject
) -> None:
    everything = [*heard.billing, *heard.stream, *heard.listing, *heard.stream]
    order = data.draw(st.permutations(everything))
    arrived = order[: data.draw(st.integers(1, len(order)))]
    folding = Folding()
    for event in arrived:
        folding.take(event)
    paths = [file_record(event).path for event in folding.told]
    assert sorted(paths) == sorted({file_record(event).path for event in arrived})
    for event in arrived:
        assert folding.under[event.id] in {each.id for each in folding.told}
