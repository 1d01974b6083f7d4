"""What comes back from workers and jobs finds the shard that asked for it."""

from __future__ import annotations

from collections.abc import Callable

from penstock.core.job import JobNotice
from penstock.core.ports import Answer
from penstock.server.parts import Parts


class Returns:
    """Leads answers and notices to the shard in whose flight they are.

    A shard that a process gave away has nothing in flight here any more: what its calls still answer is
    thrown away, and its next owner calls again.
    """

    def __init__(self) -> None:
        self._shards: list[Parts] = []

    def add(self, parts: Parts) -> None:
        """Lead to this shard, too."""
        self._shards.append(parts)

    def remove(self, parts: Parts) -> None:
        """Do not any more."""
        self._shards = [each for each in self._shards if each is not parts]

    def answered(self, release: Callable[[Answer], None], answer: Answer) -> None:
        """Pass on a worker's answer, or ``release`` its folder."""
        for parts in self._shards:
            if answer.key in parts.dispatcher.in_flight:
                parts.dispatcher.answered(answer)
                return
        release(answer)

    def noticed(self, notice: JobNotice) -> None:
        """Pass on a batch system's notice; the shard completes it with what the job left."""
        for parts in self._shards:
            if notice.name in parts.dispatcher.in_flight:
                parts.jobs.noticed(notice)
                return
