"""Jobs of a function are with the batch system one by one, if it says so."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.core.errors import Unavailable
from penstock.core.event import FILE_CREATED, Event
from penstock.core.function import Function
from penstock.core.job import Job
from penstock.core.run import Call, Run
from penstock.core.workflow import Batch, Step, Workflow
from penstock.workflows.active import Active
from penstock.workflows.ends import InFlight
from penstock.workflows.offload import CANCELLED, Offload

pytestmark = pytest.mark.anyio
FUNCTION = Function(tenant="local", name="me/f", version=1, concurrency=1)


class Bench:
    """Offloads to a farm that only notes what it is told."""

    def __init__(self, function: Function = FUNCTION) -> None:
        self.function = function
        self.submitted: list[str] = []
        self.cancelled: list[str] = []
        self.refused: list[tuple[str, str, bool]] = []
        self.told: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.away = False
        farm: Any = self
        self.offload = Offload(
            batch={"local": farm},
            make_job=self.make,
            emit=lambda event: self.told.append(event.type),
            spawn=self.spawn,
            refused=self.refuse,
        )

    def make(self, function: Function, step: Step, name: str, params: bytes) -> Job:
        return Job(name=name, tenant=function.tenant, argv=(step.name,), payload=params, folder="", log="")

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work))

    def refuse(self, key: str, error: str, retryable: bool) -> None:
        self.refused.append((key, error, retryable))
        self.offload.left(key)

    async def submit(self, job: Job) -> None:
        if self.away:
            raise Unavailable("the farm is away")
        self.submitted.append(job.name)

    async def cancel(self, name: str) -> None:
        self.cancelled.append(name)

    def begin(self, key: str, system: str = "local") -> InFlight:
        step = Step(name="s", function="me/f@1", batch=Batch(system=system))
        run = Run(
            id="r", tenant="local", principal="me", workflow="me/w@1", trigger="", event_id="e", offset=0,
            subject="",
        )  # fmt: skip
        workflow = Workflow(tenant="local", name="me/w", version=1, steps=(step,))
        event = Event(id="e", source="/storages/local", type=FILE_CREATED)
        flight = InFlight(Active(run, workflow, event), step, Call("s", 1), self.function)
        self.offload.begin(key, flight, b"{}")
        return flight

    async def settled(self) -> None:
        while self.tasks:
            await self.tasks.pop(0)


async def test_the_concurrency_of_a_function_holds_for_its_jobs() -> None:
    bench = Bench()
    for key in ("a", "b", "c"):
        bench.begin(key)
    await bench.settled()
    assert bench.submitted == ["a"]
    assert bench.told == ["penstock.job.submitted"]
    bench.offload.left("a")
    await bench.settled()
    assert bench.submitted == ["a", "b"]


async def test_a_job_that_waits_is_cancelled_without_the_farm() -> None:
    bench = Bench()
    first, second = bench.begin("a"), bench.begin("b")
    bench.begin("c")
    bench.offload.stop("b", second)
    bench.offload.stop("a", first)
    await bench.settled()
    assert bench.refused == [("b", CANCELLED, False)]
    assert bench.cancelled == ["a"]
    bench.offload.left("a")
    await bench.settled()
    assert bench.submitted == ["a", "c"]


async def test_a_farm_that_takes_nothing_keeps_nobody_waiting() -> None:
    bench = Bench()
    bench.away = True
    for key in ("a", "b"):
        bench.begin(key)
    await bench.settled()
    assert bench.refused == [("a", "the farm is away", True), ("b", "the farm is away", True)]
    bench.away = False
    bench.begin("c", system="elsewhere")
    await bench.settled()
    assert bench.refused[2] == ("c", "there is no batch system 'elsewhere' in the settings", False)


async def test_without_a_concurrency_the_farm_gets_all_jobs() -> None:
    bench = Bench(replace(FUNCTION, concurrency=0))
    for number in range(200):
        bench.begin(str(number))
    await bench.settled()
    assert len(bench.submitted) == 200
