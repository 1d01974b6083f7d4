"""The demonstration's account: each record of the log as a line that a scientist can read."""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.tree import Tree

from penstock.core import lifecycle
from penstock.core.event import NEW_CONTENT, file_record, path_of
from penstock.core.lifecycle import JobMove, RunEnd, StepEnd, data_of
from penstock.core.ports import Record

COLOURS = {"beamline": "cyan", "event": "blue", "run": "magenta", "chaos": "red", "batch": "yellow"}


@dataclass
class Seen:
    """What was told of one run."""

    name: str
    phase: str = "running"
    error: str = ""
    steps: dict[str, StepEnd] = field(default_factory=dict)
    evicted: list[str] = field(default_factory=list)


class Story:
    """Tells records and remembers what the summary needs.

    Args:
        console: Where to.
        folder: The demonstration's folder; paths are shown relative to it.
    """

    def __init__(self, console: Console, folder: Path) -> None:
        self._console = console
        self._folder = folder
        self._began = time.monotonic()
        self._runs: dict[str, Seen] = {}
        self._said_ns: dict[str, int] = {}
        self._jobs: dict[tuple[str, str], str] = {}
        self._changed = asyncio.Event()

    def line(self, who: str, words: str) -> None:
        """Print one line with the time since the start."""
        colour = COLOURS.get(who, "white")
        self._console.print(
            f"  [dim]{time.monotonic() - self._began:6.2f} s[/]  [{colour}]{who:<9}[/] {words}",
            soft_wrap=True,
        )

    def beamline(self, words: str) -> None:
        """Print what the beamline has just done, ``name: words``, and remember when."""
        self._said_ns[words.split(":", 1)[0]] = time.time_ns()
        self.line("beamline", words)

    def tell(self, record: Record) -> None:
        """Tell one record, and wake who waits for it."""
        event = record.event
        if event.type in NEW_CONTENT and event.cause is None:
            self._tell_file(record)
        elif event.source == lifecycle.SOURCE:
            teller = {
                lifecycle.RUN_STARTED: self._tell_run,
                lifecycle.STEP_SUCCEEDED: self._tell_step,
                lifecycle.STEP_FAILED: self._tell_step,
                lifecycle.JOB_STARTED: self._tell_job,
                lifecycle.JOB_EVICTED: self._tell_job,
                lifecycle.RUN_SUCCEEDED: self._tell_end,
                lifecycle.RUN_FAILED: self._tell_end,
                lifecycle.RUN_CANCELLED: self._tell_end,
            }.get(event.type)
            if teller is not None:
                teller(record)
        self._changed.set()

    def _tell_file(self, record: Record) -> None:
        found = file_record(record.event)
        name = Path(found.path).name
        late_ms = (record.appended_ns - self._said_ns.get(name, record.appended_ns)) / 1e6
        soon = f"{late_ms:.1f} ms after the beamline let go of it" if late_ms > 0.05 else "at once"
        kind = record.event.type.rsplit(".", 1)[-1]
        self.line("event", f"{name} {kind}, {found.size:,} bytes; safely on the log {soon}")

    def _tell_run(self, record: Record) -> None:
        data = data_of(record.event, RunEnd)
        name = os.path.basename(path_of(data.subject)).decode("utf-8", "replace")
        self._runs[data.run] = Seen(name)
        self.line("run", f"[bold]{data.run[:8]}[/] {data.workflow} for {name}")

    def _tell_step(self, record: Record) -> None:
        end = data_of(record.event, StepEnd)
        run = self._runs.get(end.run)
        if run is None:
            return
        seconds = (end.ended_ns - end.started_ns) / 1e9
        where = "in the batch queue" if end.place != "pool" else "in a warm worker"
        if end.error:
            words = f"[red]✗ {end.step}[/] of {run.name}: {end.error.splitlines()[0]}"
        else:
            run.steps[end.step] = end
            words = f"[green]✓ {end.step}[/] of {run.name}, {seconds:.2f} s {where}{_said(end)}"
        self.line("step", words)

    def _tell_job(self, record: Record) -> None:
        move = data_of(record.event, JobMove)
        run = self._runs.get(move.run)
        if run is None:
            return
        if record.event.type == lifecycle.JOB_STARTED:
            self._jobs.setdefault((run.name, move.step), move.job)
            self.line("batch", f"{move.step} of {run.name} runs as a job, attempt {move.attempt}")
        else:
            run.evicted.append(move.step)
            self.line(
                "batch", f"{move.step} of {run.name}: attempt {move.attempt} {move.error}; it is tried again"
            )

    def _tell_end(self, record: Record) -> None:
        data = data_of(record.event, RunEnd)
        run = self._runs.get(data.run)
        if run is None:
            return
        run.phase, run.error = data.phase, data.error
        self.line("run", f"{_mark(data.phase)} [bold]{data.run[:8]}[/] {data.phase}: {run.name}")

    async def wait(self, *, ended: int, within_s: float) -> None:
        """Return when so many runs have ended.

        Raises:
            TimeoutError: They have not, within that time.
        """
        async with asyncio.timeout(within_s):
            while sum(run.phase != "running" for run in self._runs.values()) < ended:
                self._changed.clear()
                await self._changed.wait()

    async def job_of(self, name: str, step: str) -> str:
        """Return the name of the batch job that does ``step`` for the file ``name``, once it runs."""
        while (name, step) not in self._jobs:
            self._changed.clear()
            await self._changed.wait()
        return self._jobs[name, step].replace("/", ".")

    def show_dead_letters(self) -> None:
        """Print what failed, with its reason."""
        for run_id, run in self._runs.items():
            if run.phase == "failed":
                self._console.print(f"  [red]dead letter[/] {run_id[:8]} {run.name}")
                self._console.print(f"    {run.error.splitlines()[0]}", style="red", soft_wrap=True)

    def summary(self, drops: int) -> bool:
        """Print the tree of runs; return whether everything went as it should."""
        tree = Tree("[bold]What happened to each file[/]")
        for run_id, run in self._runs.items():
            branch = tree.add(f"{_mark(run.phase)} {run.name}  [dim]run {run_id[:8]}[/]")
            for step in run.steps.values():
                again = (
                    " [yellow](its first worker was killed; finished once)[/]"
                    if step.step in run.evicted
                    else ""
                )
                leaf = branch.add(f"[green]✓[/] {step.step}{again}")
                for output in step.outputs:
                    leaf.add(f"[dim]{os.path.relpath(output, self._folder)}[/]")
            if run.error:
                branch.add(f"[red]{run.error.splitlines()[0]}[/]")
        self._console.print(tree)
        good = sum(run.phase == "succeeded" for run in self._runs.values())
        bad = sum(run.phase == "failed" for run in self._runs.values())
        return good == drops and bad == 1


MARKS = {
    "succeeded": "[green]✓[/]",
    "failed": "[red]✗[/]",
    "cancelled": "[magenta]■[/]",
    "running": "[cyan]▶[/]",
}


def _mark(phase: str) -> str:
    """Return a symbol that tells states apart without their colour, too."""
    return MARKS.get(phase, "[dim]·[/]")


def _said(end: StepEnd) -> str:
    """The one sentence that a step's answer holds for people."""
    answer: Any = json.loads(bytes(end.result))
    if not isinstance(answer, dict):
        return ""
    notices = [
        check["words"]
        for check in answer.get("checks") or []
        if isinstance(check, dict) and check.get("verdict") == "notice"
    ]
    summary = answer.get("summary") or answer.get("kind_words") or ""
    lines = [summary] if isinstance(summary, str) and summary else []
    if end.step == "metadata":
        lines += [f"[yellow]notice:[/] {words}" for words in notices]
    return "".join(f"\n{'':24}[dim]{line}[/]" for line in lines)
