"""A whole installation in a folder, as a process of its own: for journeys, faults and benchmarks."""

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

from penstock.core.errors import Unavailable
from penstock.server.channel import ChannelClient
from penstock.server.deploy import prepare
from penstock.server.settings import StorageSettings, places, write_storage

WHO = {"tenant": "local", "principal": "tester"}
START_S = 30.0


class Installation:
    """Starts, kills and asks an engine whose home is ``home``.

    Args:
        home: Everything is below it; the watched folder is ``home/files``.
        environment: Variables for the process, beside ours.
    """

    def __init__(self, home: Path, environment: dict[str, str] | None = None) -> None:
        self.home = home
        self.files = home / "files"
        self.files.mkdir(parents=True, exist_ok=True)
        self.places = places(str(home), {})
        self.environment = environment or {}
        self.process: subprocess.Popen[bytes] | None = None
        if not self.places.config.exists():
            write_storage(self.places.config, StorageSettings(name="local", folder=str(self.files)))

    def start(self, *, prefix: tuple[str, ...] = (), api: bool = False) -> None:
        """Start the engine, and the API if wanted; ``prefix`` (a tracer, say) precedes its command line."""
        command = [*prefix, sys.executable, "-m", "penstock.server", "--home", str(self.home)]
        command += [] if api else ["--no-api"]
        log = open(self.home / "engine.log", "ab")  # noqa: SIM115 - the child keeps it
        environment = {**os.environ, **self.environment}
        self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        log.close()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[ChannelClient]:
        """Connect to the engine, as soon as it answers."""
        client = ChannelClient(self.places.runtime / "engine.sock")
        await _until_open(client, self)
        try:
            yield client
        finally:
            await client.close()

    async def ask(self, do: str, **with_: Any) -> Any:
        """Ask the engine one thing."""
        async with self.connected() as client:
            return await client.ask(do, {**WHO, **with_})

    async def deploy(self, file: Path, **options: Any) -> Any:
        """Deploy a file of definitions."""
        deployment = prepare(file, self.places, tenant="local", principal="tester")
        return await self.ask("deploy", deployment=deployment, **options)

    def kill(self) -> None:
        """End the engine with SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> int:
        """End the engine with SIGTERM and return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        self.process = None
        return code

    def said(self) -> str:
        """Return what the engine printed."""
        return (self.home / "engine.log").read_text(errors="replace")


async def _until_open(client: ChannelClient, installation: Installation) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            await client.open()
            return
        except Unavailable:
            process = installation.process
            if time.monotonic() > deadline or process is None or process.poll() is not None:
                raise Unavailable(f"the engine did not start:\n{installation.said()}") from None
            await asyncio.sleep(0.02)
