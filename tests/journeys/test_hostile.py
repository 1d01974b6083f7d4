"""Hostile functions through the whole engine: ended in clear words, nothing of them left, others go on."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from penstock.core.rows import DeadLetter, RunRow
from penstock.testing.installation import Installation
from tests.journeys.seeing import processes, result, rows, until

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(240)]
HERE = Path(__file__).parent
SECRET = "a private key"

FAILED = {
    "loop": ("timeout_s of 1 s", "raise timeout_s"),
    "ignore-signals": ("timeout_s of 1 s",),
    "fork-bomb": ("processes", "16"),
    "allocate": ("memory",),
    "allocate-in-children": ("memory", "128.0 MiB are allowed"),
    "print-much": ("log_bytes", "1.0 MiB"),
    "leave": ("exit code 3", "must return"),
    "crash": ("SIGSEGV",),
    "write-outside": ("Error",),
    "write-beside": ("Error",),
    "close-all": ("worker",),
    "answer-much": ("its answer has 104857611 bytes", "output file"),
    "answer-nan": ("answer['value'] is nan",),
    "answer-bytes": ("answer['value'] is a bytes",),
    "climb": ("leads out of the output folder",),
    "absolute": ("leads out of the output folder",),
    "link": ("link",),
    "many-files": ("files",),
    "delete-input": ("Error",),
    "fill-disk": ("file_bytes", "allowed"),
    "print-much-job": ("log limit of 1 MiB",),
    "loop-job": ("wall",),
    "crash-job": ("SIGSEGV",),
    "leave-job": ("exit code 3",),
    "answer-much-job": ("output file",),
    "answer-nan-job": ("JSON",),
    "fill-disk-job": ("file_bytes",),
    "link-job": ("link",),
}
"""What the error says, by workflow."""
SUCCEEDED = ("escape", "closed-output", "odd-names", "escape-job")
MODES = {
    "everything": "",
    "no cgroup": "cgroup",
    "no namespaces": "cgroup,namespaces",
    "no Landlock": "landlock",
    "nothing": "cgroup,namespaces,landlock,seccomp,rlimits,capabilities",
}
CONFINED = ("write-outside", "write-beside", "delete-input")
"""What only the kernel can refuse."""


class Victim:
    """An installation that hostile functions are deployed to."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.input = installation.files / "input.txt"

    async def prepare(self) -> None:
        """Deploy, and call the neighbour once."""
        (self.installation.home / "secret").mkdir()
        (self.installation.home / "secret" / "id_ed25519").write_text(SECRET)
        self.input.write_text("precious")
        await self.installation.deploy(HERE / "hostile.py")
        await self.neighbour()

    async def start(self, name: str) -> str:
        """Start a function on the input and return the run's id."""
        path = str(self.input)
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": f"{name}-{os.urandom(4).hex()}",
            "source": "/test",
            "type": "t",
        }
        event |= {"subject": path, "data": {"storage": "local", "path": path}}
        assert self.installation.process is not None
        params = {"home": str(self.installation.home), "engine": self.installation.process.pid}
        asked = await self.installation.ask("start", workflow=f"local/{name}", event=event, params=params)
        return str(asked["run"])

    async def ended(self, run: str) -> RunRow:
        """Wait for a run's end."""

        def found() -> list[RunRow]:
            return [row for row in rows(self.installation, RunRow) if row.id == run and row.ended_ns]

        ended: list[RunRow] = await until(found, self.installation)
        return ended[0]

    async def call(self, name: str) -> RunRow:
        """Start a function and wait for its end."""
        return await self.ended(await self.start(name))

    async def neighbour(self) -> None:
        """Call the neighbour: it must answer, whatever is going on."""
        found = await self.call("neighbour")
        assert found.phase == "succeeded", found.error

    async def nothing_left(self) -> None:
        """Wait until no process is left but the engine, its zygotes and idle workers of the neighbour."""

        def strays() -> bool:
            return not [line for line in processes(self.installation).values() if "penstock" not in line]

        await until(strays, self.installation)


@pytest.fixture(params=["everything"])
async def victim(tmp_path: Path, request: Any) -> AsyncIterator[Victim]:
    """An installation with hostile functions; ``param`` names what confinement goes without."""
    without = MODES[request.param]
    installation = Installation(tmp_path, {"PENSTOCK_CONFINE_WITHOUT": without} if without else {})
    installation.start()
    found = Victim(installation)
    await found.prepare()
    yield found
    code = installation.stop()
    assert code == 0, installation.said()
    await until(lambda: not processes(installation), installation)


async def check(victim: Victim, name: str) -> None:
    run = await victim.call(name)
    await victim.neighbour()
    if name in SUCCEEDED:
        assert run.phase == "succeeded", run.error
        return
    assert run.phase == "failed", (name, run.error)
    assert [part for part in FAILED[name] if part not in run.error] == [], (name, run.error)
    letters = [letter for letter in rows(victim.installation, DeadLetter) if letter.run == run.id]
    assert [letter.reason for letter in letters] == [run.error]


async def test_what_misbehaves_is_ended_in_words_and_its_neighbour_goes_on(victim: Victim) -> None:
    for name in ("crash", "answer-nan", "climb", "escape"):
        await check(victim, name)
    await victim.nothing_left()


@pytest.mark.slow
@pytest.mark.parametrize("victim", MODES, indirect=True)
async def test_every_hostile_function_in_every_mode(victim: Victim, request: Any) -> None:
    mode = request.node.callspec.params["victim"]
    wrong = []
    for name in (*FAILED, *SUCCEEDED):
        if mode == "nothing" and name in CONFINED:
            continue
        try:
            await check(victim, name)
        except AssertionError as error:
            wrong.append(str(error)[:400])
    assert not wrong, "\n".join(wrong)
    await victim.nothing_left()
    assert victim.input.read_text() == "precious"
    assert not (victim.installation.files / "planted.txt").exists()
    assert not Path("/tmp/penstock-hostile-x").exists()


@pytest.mark.slow
async def test_neither_state_nor_secrets_nor_parents_are_in_reach(victim: Victim) -> None:
    reading = await victim.call("read-state")
    assert result(reading, "read-state")["found"] == []
    killing = await victim.call("kill-parent")
    assert killing.phase in ("succeeded", "failed")
    assert victim.installation.process is not None
    assert victim.installation.process.poll() is None, "a function killed the engine"
    await victim.neighbour()
