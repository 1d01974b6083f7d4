"""The namespace against the ledger: what notices would have told, under the ids that they would have had."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from penstock.core.event import Event
from penstock.sources.dcache.looks import Looks
from penstock.sources.dcache.walk import Walker


async def compare(
    walker: Walker, looks: Looks, folders: Sequence[str], channel: str | None
) -> AsyncIterator[list[Event]]:
    """Yield contents that nobody told of, then the ends of what is not there any more.

    It holds one number for each file that is there; what is missing is looked at once more.

    Args:
        walker: Lists.
        looks: Compares.
        folders: Where to begin; namespace paths.
        channel: Watches each folder before it is listed; None only lists.
    """
    there: set[int] = set()
    async for files in walker.walk(folders, channel):
        there.update(hash(path.encode()) for path, _ in files)
        if events := looks.found(files, first=False):
            yield events
    for folder in folders:
        async for batch in looks.missing(folder, there):
            yield batch
