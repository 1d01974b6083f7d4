"""A site to measure: a real broker, a real database, Penstock's processes, each on the cores it is given."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.servers.kafka import Kafka
from tests.servers.postgres import Postgres
from tests.servers.server import Missing
from tests.site.installation import SiteInstallation

from benchmarks.ground import ground, tree
from benchmarks.rows import Failed

CORES = sorted(os.sched_getaffinity(0))


class Places:
    """Which core each part is on: one each where there are enough, else broker and database share.

    Args:
        clients: How many processes of ours work at the same time.
    """

    def __init__(self, clients: int) -> None:
        self.enough = len(CORES) >= clients + 2
        servers = 2 if self.enough else 1
        self.broker = CORES[0]
        self.database = CORES[servers - 1]
        self._clients = CORES[servers:] or CORES[:1]

    def client(self, number: int) -> int:
        """Return the core of a process of ours, counted from 0."""
        return self._clients[number % len(self._clients)]

    @property
    def words(self) -> str:
        """What is on which core."""
        clients = ", ".join(map(str, self._clients))
        return f"broker on core {self.broker}, database on {self.database}, clients on {clients}"


def pin(pid: int, core: int) -> None:
    """Put all threads of a process tree on a core."""
    for each in tree(pid):
        for thread in os.listdir(f"/proc/{each}/task"):
            os.sched_setaffinity(int(thread), {core})


@contextmanager
def servers(places: Places) -> Iterator[tuple[Path, Kafka, Postgres]]:
    """Run a broker and a database on their cores, and give them with an empty folder on a disk.

    Raises:
        Failed: They cannot be had here.
    """
    with ground() as folder, ExitStack() as ends:
        kafka, postgres = Kafka(folder / "kafka"), Postgres(folder / "postgres")
        for server, core in ((kafka, places.broker), (postgres, places.database)):
            ends.callback(server.kill)
            try:
                server.start()
            except Missing as error:
                raise Failed(str(error)) from error
            assert server.process is not None
            pin(server.process.pid, core)
        yield folder, kafka, postgres


@contextmanager
def site(
    home: Path, kafka: Kafka, postgres: Postgres, partitions: int, more: Sequence[str] = ()
) -> Iterator[SiteInstallation]:
    """Give an installation without processes; ``more`` are lines of its settings."""
    found = SiteInstallation(home, kafka, postgres, partitions)
    with found.places.config.open("a") as file:
        file.writelines(f"{line}\n" for line in more)
    try:
        yield found
    finally:
        found.close()
