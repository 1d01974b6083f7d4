"""Runs for files that are there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from penstock.core.errors import Unavailable
from penstock.core.event import Event, file_record, path_of
from penstock.core.filter import View, compile_filter, parse
from penstock.core.ports import Source
from penstock.server.shard import Shard


class Existing:
    """Has triggers run for what their sources list.

    Args:
        shard: Requests the runs.
        sources: Are asked for listings.
        troubles: Names sources that do not work.
    """

    def __init__(self, shard: Shard, sources: Sequence[Source], troubles: Mapping[str, str]) -> None:
        self._shard = shard
        self._sources = sources
        self._troubles = troubles

    async def run(self, trigger_id: str, principal: str) -> int:
        """Run a trigger for every file that is there now, but its own outputs; return how many."""
        count = 0
        backfill = self._shard.backfill
        trigger = self._shard.parts.registry.triggers[trigger_id]
        wanted = compile_filter(parse(trigger.filter))
        for source in self._sources:
            if source.name in self._troubles:
                raise Unavailable(f"storage {source.name!r} cannot be listed: {self._troubles[source.name]}")
            async for events in source.listing():
                for found in events:
                    event = self._with_cause(found)
                    if wanted(View(event)) and backfill.offered(trigger, event):
                        backfill.request(trigger, event, principal)
                        count += 1
        return count

    def _with_cause(self, event: Event) -> Event:
        """Return a listed file's event with the run that published the file, if nobody wrote to it since."""
        output = self._shard.parts.state.output(path_of(event.subject or ""))
        record = file_record(event)
        if output is None or record.inode != output.inode or (record.mtime_ns or 0) > output.published_ns:
            return event
        return replace(event, cause=output.run, depth=output.depth)
