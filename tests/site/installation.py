"""A whole site in a folder: processes in their roles, on a real broker and a real database."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from penstock.core.errors import Unavailable
from penstock.log.kafka_settings import KafkaLogSettings
from penstock.server.channel import ChannelClient
from penstock.server.deploy import prepare
from penstock.server.settings import places
from penstock.state.postgres.settings import PostgresSettings
from penstock.testing.installation import WHO
from tests.servers.kafka import Kafka
from tests.servers.postgres import Postgres

START_S = 60.0


class SiteInstallation:
    """Processes with one home, one topic and one schema.

    Args:
        home: Everything is below it; the watched folder is ``home/files``.
        kafka: The broker.
        postgres: The database; None for the installation's own.
        partitions: Of the topic.
    """

    def __init__(self, home: Path, kafka: Kafka, postgres: Postgres | None, partitions: int = 4) -> None:
        self.home = home
        self.files = home / "files"
        self.files.mkdir(parents=True)
        self.places = places(str(home), {})
        self.kafka = KafkaLogSettings(
            servers=kafka.address, topic=f"site-{uuid4().hex[:8]}", partitions=partitions, replication=1
        )
        self.postgres: PostgresSettings = postgres.fresh() if postgres is not None else PostgresSettings()
        self._is_alone = postgres is None
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.places.config.parent.mkdir(parents=True, exist_ok=True)
        self.places.config.write_text(self._toml())

    def _toml(self) -> str:
        tables = [f'[[storages]]\nname = "local"\nfolder = "{self.files}"\n']
        used = (("kafka", self.kafka), ("postgres", self.postgres))
        for name, table in used[:1] if self._is_alone else used:
            given = {
                key: value for key, value in msgspec.to_builtins(table).items() if value not in (None, {}, [])
            }
            lines = [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in given.items()]
            tables.append("\n".join([f"[{name}]", *lines]) + "\n")
        return "\n".join(tables)

    def start(self, name: str, *roles: str, api: bool = False) -> subprocess.Popen[bytes]:
        """Start a process; ``name`` is for the tests."""
        command = [sys.executable, "-m", "penstock.server", "--home", str(self.home)]
        command += [part for role in roles for part in ("--role", role)] + ([] if api else ["--no-api"])
        with (self.home / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ)
        return self.processes[name]

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[ChannelClient]:
        """Connect to the process with the role ``api``, as soon as it answers."""
        deadline = time.monotonic() + START_S
        while True:
            client = ChannelClient(self.places.runtime / "engine.sock")
            try:
                await client.open()
                break
            except Unavailable:
                dead = [name for name, process in self.processes.items() if process.poll() is not None]
                if time.monotonic() > deadline or dead:
                    raise Unavailable(f"the site did not start ({dead} ended):\n{self.said()}") from None
                await asyncio.sleep(0.05)
        try:
            yield client
        finally:
            await client.close()

    async def ask(self, do: str, **with_: Any) -> Any:
        """Ask the process with the role ``api`` one thing."""
        async with self.connected() as client:
            return await client.ask(do, {**WHO, **with_})

    async def deploy(self, file: Path, **options: Any) -> Any:
        """Deploy a file of definitions."""
        deployment = await asyncio.to_thread(prepare, file, self.places, tenant="local", principal="tester")
        return await self.ask("deploy", deployment=deployment, **options)

    def end(self, name: str, number: int = signal.SIGTERM) -> int:
        """End a process by a signal and return its exit code."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        return process.wait(timeout=40)

    def close(self) -> None:
        """Kill what is left."""
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.processes.clear()

    def said(self) -> str:
        """Return what all processes printed."""
        return "\n".join(
            f"── {log.name} ──\n{log.read_text(errors='replace')[-6000:]}" for log in self.home.glob("*.log")
        )
