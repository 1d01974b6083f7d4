"""Who starts next: first come, first served, with a little overtaking. Pure: no clock, no processes.

A job that fits into what is free may overtake those that wait for more, so that cores do not idle
behind a large job; but each waiting job is overtaken at most ``overtakes_max`` times. Then nobody
passes it, the machine drains, and it starts.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import islice


@dataclass(slots=True)
class Wanted:
    """What a job needs, and how often others went before it."""

    cores: int
    memory_bytes: int
    overtaken: int = 0


class Admission:
    """Keeps account of what is free, what runs and what waits.

    Args:
        cores: There are.
        memory_bytes: There is.
        overtakes_max: Times that one waiting job may be overtaken.
        lookahead_max: Waiting jobs that are looked at for one that fits.
    """

    def __init__(
        self, cores: int, memory_bytes: int, *, overtakes_max: int = 16, lookahead_max: int = 64
    ) -> None:
        self._cores = cores
        self._memory_bytes = memory_bytes
        self._overtakes_max = overtakes_max
        self._lookahead_max = lookahead_max
        self._waiting: OrderedDict[str, Wanted] = OrderedDict()
        self._running: dict[str, Wanted] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self, name: str, cores: int, memory_bytes: int) -> None:
        """Put a job at the end of the queue."""
        self._waiting[name] = Wanted(cores, memory_bytes)

    def admit(self) -> str | None:
        """Take the next job that may start now and give it its share; None if none may."""
        passed: list[Wanted] = []
        for name, wanted in islice(self._waiting.items(), self._lookahead_max):
            if self._fits(wanted):
                self._start(name)
                for other in passed:
                    other.overtaken += 1
                return name
            passed.append(wanted)
            # Whoever passes a job passes all before it too, so the first has been overtaken most.
            if passed[0].overtaken >= self._overtakes_max:
                return None
        return None

    def leave(self, name: str) -> None:
        """Forget a job that ended or no longer wants to start; unknown names are ignored."""
        self._waiting.pop(name, None)
        running = self._running.pop(name, None)
        if running is not None:
            self._cores += running.cores
            self._memory_bytes += running.memory_bytes

    def _fits(self, wanted: Wanted) -> bool:
        return wanted.cores <= self._cores and wanted.memory_bytes <= self._memory_bytes

    def _start(self, name: str) -> None:
        wanted = self._running[name] = self._waiting.pop(name)
        self._cores -= wanted.cores
        self._memory_bytes -= wanted.memory_bytes
