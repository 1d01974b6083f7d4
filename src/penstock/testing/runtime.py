"""A runtime in memory, and a partner for any runtime that turns answers into results to wait for."""

from __future__ import annotations

import asyncio
import inspect
import json
import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Raw

from penstock.core.function import Function
from penstock.core.ports import Answer, AnswerSink, Invocation, Runtime
from penstock.sdk.call import Call

Plain = Callable[[Call], Any]


class FakeRuntime:
    """Calls plain functions in the event loop (a ``core.ports.Runtime``). Coroutine functions may wait.

    Args:
        answered: Gets each answer, exactly once per key.
        functions: What to call, by reference ``namespace/name@version``.
        scratch: Folder for what functions write.
    """

    def __init__(self, answered: AnswerSink, functions: Mapping[str, Plain], scratch: Path) -> None:
        self._answered = answered
        self._functions = functions
        self._scratch = scratch
        self._queues: dict[str, deque[Invocation]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._running: dict[str, int] = {}
        self._number = 0

    def invoke(self, invocation: Invocation) -> None:
        """Start the call in the loop's next round, or when fewer than ``calls_at_once`` are under way."""
        reference = invocation.function.reference
        self._queues.setdefault(reference, deque()).append(invocation)
        self._start_more(invocation.function)

    def stop(self, key: str) -> None:
        """Cancel a call."""
        if key in self._tasks:
            self._tasks[key].cancel()
        for queue in self._queues.values():
            for call in [call for call in queue if call.key == key]:
                queue.remove(call)
                self._answered(Answer(key=key, error="the call was stopped", retryable=False))

    def release(self, answer: Answer) -> None:
        """Remove the answer's folder."""
        if answer.scratch:
            shutil.rmtree(answer.scratch, ignore_errors=True)

    def renew(self) -> None:
        """There is nothing that a call has seen before."""

    def sweep_earlier(self) -> None:
        """Nothing outlives this object, so nothing is left."""

    async def close(self) -> None:
        """Cancel everything."""
        for queue in self._queues.values():
            for call in list(queue):
                self.stop(call.key)
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start_more(self, function: Function) -> None:
        reference = function.reference
        queue = self._queues[reference]
        while queue and self._running.get(reference, 0) < function.calls_at_once:
            self._running[reference] = self._running.get(reference, 0) + 1
            call = queue.popleft()
            self._tasks[call.key] = asyncio.get_running_loop().create_task(self._run(call))
            self._tasks[call.key].add_done_callback(partial(self._done, call))

    def _done(self, call: Invocation, task: asyncio.Task[None]) -> None:
        if self._tasks.get(call.key) is task:
            del self._tasks[call.key]
            # Cancelled before its first line ran: nobody else could answer for it.
            self._answered(Answer(key=call.key, error="the call was stopped", retryable=False))
        self._running[call.function.reference] -= 1
        self._start_more(call.function)

    async def _run(self, call: Invocation) -> None:
        started_ns = time.time_ns()
        self._number += 1
        folder = self._scratch / str(self._number)
        folder.mkdir(parents=True)
        result, error, retryable = None, None, False
        try:
            result = await self._call(call, folder)
        except asyncio.CancelledError:
            error = "the call was stopped"
        except Exception as fault:  # a function may raise what it likes; that is its answer
            error, retryable = f"{type(fault).__name__}: {fault}", not isinstance(fault, _NoObject)
        files = _files(folder) if error is None else None
        if files is None:
            shutil.rmtree(folder)
        del self._tasks[call.key]
        answer = Answer(
            key=call.key,
            result=result,
            error=error,
            retryable=retryable,
            scratch=str(folder) if files else "",
            files=files,
            started_ns=started_ns,
            ended_ns=time.time_ns(),
        )
        self._answered(answer)

    async def _call(self, call: Invocation, folder: Path) -> Raw:
        params = json.loads(call.params)
        params["write"] = {**(params.get("write") or {}), "path": f"{folder}/"}
        value = self._functions[call.function.reference](Call(params))
        if inspect.isawaitable(value):
            value = await value
        if value is not None and not isinstance(value, dict):
            raise _NoObject(f"it answered a {type(value).__name__}; answer a dict, or None")
        return Raw(json.dumps(value or {}, allow_nan=False).encode())


class _NoObject(TypeError):
    pass


def _files(folder: Path) -> tuple[str, ...] | None:
    return tuple(sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())) or None


class Caller:
    """Calls functions through any runtime and waits for their answers. Hand its ``answered`` to the runtime.

    Attributes:
        runtime: Set it before the first call.
        answers: All answers so far, in the order in which they came.
    """

    runtime: Runtime

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self._waiting: dict[str, asyncio.Future[Answer]] = {}
        self._number = 0

    def answered(self, answer: Answer) -> None:
        """Take an answer (an ``AnswerSink``)."""
        self.answers.append(answer)
        self._waiting.pop(answer.key).set_result(answer)

    def start(self, function: Function, key: str = "", **params: Any) -> asyncio.Future[Answer]:
        """Start a call; the result of what is returned is its answer."""
        self._number += 1
        key = key or f"run/step/0/{self._number}"
        future = asyncio.get_running_loop().create_future()
        self._waiting[key] = future
        self.runtime.invoke(Invocation(key=key, function=function, params=json.dumps(params).encode()))
        return future

    async def call(self, function: Function, **params: Any) -> Any:
        """Return what a function answers.

        Raises:
            AssertionError: It failed.
        """
        answer = await self.start(function, **params)
        assert answer.error is None, answer.error
        assert answer.result is not None
        return json.loads(bytes(answer.result))

    async def error(self, function: Function, **params: Any) -> str:
        """Return the error of a call that must fail."""
        answer = await self.start(function, **params)
        assert answer.error is not None, bytes(answer.result or b"")
        assert answer.result is None
        return answer.error
