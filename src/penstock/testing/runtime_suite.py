"""What every runtime must do: subclass ``RuntimeSuite`` in your tests and say how yours is made.

::

    class TestMyRuntime(RuntimeSuite):
        def open(self, answered):
            return MyRuntime(MySettings(scratch=self.folder / "scratch"), answered)

The functions called are those of ``PROBE``; it lies as ``code/probe.py`` in ``self.folder``. The test
needs pytest with anyio.
"""

# ruff: noqa: D102, ASYNC240 - a suite of tests; their names say what they are about

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from penstock.core.function import Function
from penstock.core.ports import AnswerSink, Runtime
from penstock.testing.runtime import Caller

PROBE = """
import asyncio
import time


def echo(call):
    return dict(call)


def nothing(call):
    return None


def fail(call):
    raise ValueError("the beam was off")


def number(call):
    return 42


def no_json(call):
    return {"good": 1, "bad": [0, float("nan")]}


def write(call):
    for name in call["names"]:
        call.output(name).write_text(name)
    return {"folder": call["write"]["path"]}


def write_and_fail(call):
    call.output("half.txt").write_text("half")
    raise ValueError("on the way")


def span(call):
    began = time.monotonic_ns()
    time.sleep(0.002)
    return {"began": began, "ended": time.monotonic_ns()}


async def for_ever(call):
    await asyncio.Event().wait()
"""
NAMES = ("echo", "nothing", "fail", "number", "no_json", "write", "write_and_fail", "span", "for_ever")


class RuntimeSuite:
    """The contract of ``core.ports.Runtime``.

    Attributes:
        folder: Of this test.
        runtime: Under test.
        caller: Calls through it.
    """

    folder: Path
    runtime: Runtime
    caller: Caller

    def open(self, answered: AnswerSink) -> Runtime:
        """Return the runtime to test."""
        raise NotImplementedError

    def function(self, attribute: str, **options: Any) -> Function:
        """Return the function of ``PROBE`` called ``attribute``."""
        name = f"probe/{attribute.replace('_', '-')}"
        code, entry = str(self.folder / "code"), f"probe.py:{attribute}"
        return Function(tenant="tests", name=name, version=1, code=code, entry=entry, **options)

    @pytest.fixture(autouse=True)
    async def _opened(self, tmp_path: Path) -> AsyncIterator[None]:
        self.folder = tmp_path
        code = tmp_path / "code"
        code.mkdir()
        (code / "probe.py").write_text(PROBE)
        self.caller = Caller()
        self.runtime = self.caller.runtime = self.open(self.caller.answered)
        yield
        await self.runtime.close()

    @pytest.mark.anyio
    async def test_an_object_goes_in_and_an_object_comes_out(self) -> None:
        answer = await self.caller.call(self.function("echo"), event={"id": "ä\n"}, item=[1, None])
        assert answer["event"] == {"id": "ä\n"}
        assert answer["item"] == [1, None]

    @pytest.mark.anyio
    async def test_none_counts_as_an_empty_object(self) -> None:
        assert await self.caller.call(self.function("nothing")) == {}

    @pytest.mark.anyio
    async def test_what_a_function_raises_is_the_error_and_may_be_tried_again(self) -> None:
        answer = await self.caller.start(self.function("fail"))
        assert "ValueError: the beam was off" in (answer.error or "")
        assert answer.result is None
        assert answer.retryable

    @pytest.mark.anyio
    @pytest.mark.parametrize("attribute", ["number", "no_json"])
    async def test_an_answer_that_is_no_json_object_is_an_error(self, attribute: str) -> None:
        assert await self.caller.error(self.function(attribute))

    @pytest.mark.anyio
    async def test_an_answer_names_the_files_that_were_written(self) -> None:
        names = ["b.txt", "a/ä ö.txt", "a/1\n2"]
        answer = await self.caller.start(self.function("write"), names=names, write={"publish": "x"})
        assert answer.files == tuple(sorted(names))
        written = {name: (Path(answer.scratch) / name).read_text() for name in names}
        assert written == {name: name for name in names}

    @pytest.mark.anyio
    async def test_released_scratch_is_gone_and_the_next_call_starts_empty(self) -> None:
        function = self.function("write")
        first = await self.caller.start(function, names=["a.txt"])
        (Path(first.scratch) / "a.txt").unlink()
        self.runtime.release(first)
        assert not Path(first.scratch).exists()
        second = await self.caller.start(function, names=["b.txt"])
        assert second.files == ("b.txt",)

    @pytest.mark.anyio
    async def test_calls_may_go_on_while_earlier_files_wait(self) -> None:
        function = self.function("write")
        answers = [await self.caller.start(function, names=[f"{n}.txt"]) for n in range(5)]
        assert len({answer.scratch for answer in answers}) == 5
        assert [answer.files for answer in answers] == [(f"{n}.txt",) for n in range(5)]

    @pytest.mark.anyio
    async def test_a_failed_call_leaves_no_files(self) -> None:
        answer = await self.caller.start(self.function("write_and_fail"))
        assert answer.files is None
        nothing = await self.caller.start(self.function("write"), names=[])
        assert nothing.error is None
        assert nothing.files is None

    @pytest.mark.anyio
    async def test_each_of_many_calls_is_answered_once(self) -> None:
        echo = self.function("echo")
        futures = [self.caller.start(echo, key=str(number), n=number) for number in range(1000)]
        answers = [await future for future in futures]
        assert [json.loads(bytes(answer.result or b""))["n"] for answer in answers] == list(range(1000))
        assert sorted(answer.key for answer in self.caller.answers) == sorted(map(str, range(1000)))

    @pytest.mark.anyio
    async def test_no_more_run_at_once_than_concurrency_allows(self) -> None:
        span = self.function("span", concurrency=1)
        futures = [self.caller.start(span) for _ in range(10)]
        answers = [await future for future in futures]
        spans = [json.loads(bytes(answer.result or b"")) for answer in answers]
        begins, ends = (sorted(one[moment] for one in spans) for moment in ("began", "ended"))
        assert all(end <= begin for end, begin in zip(ends, begins[1:], strict=False))

    @pytest.mark.anyio
    async def test_a_call_can_be_stopped_and_others_go_on(self) -> None:
        stopped = self.caller.start(self.function("for_ever"), key="stopped")
        await self.caller.call(self.function("echo"))
        self.runtime.stop("stopped")
        assert (await stopped).error
        assert await self.caller.call(self.function("nothing")) == {}

    @pytest.mark.anyio
    async def test_a_queued_call_can_be_stopped(self) -> None:
        for_ever = self.function("for_ever", concurrency=1)
        futures = {key: self.caller.start(for_ever, key=key) for key in ("1", "2", "3", "4")}
        for key in ("3", "4", "2"):
            self.runtime.stop(key)
            assert (await futures[key]).error
        assert not futures["1"].done()

    @pytest.mark.anyio
    async def test_stopping_what_is_not_there_does_nothing(self) -> None:
        self.runtime.stop("nobody")
        assert await self.caller.call(self.function("nothing")) == {}

    @pytest.mark.anyio
    async def test_a_key_may_be_used_again_once_it_is_answered(self) -> None:
        first = await self.caller.start(self.function("fail"), key="same")
        second = await self.caller.start(self.function("nothing"), key="same")
        assert (first.error is None, second.error is None) == (False, True)

    @pytest.mark.anyio
    async def test_closing_answers_what_is_under_way(self) -> None:
        for_ever = self.function("for_ever", concurrency=2)
        futures = [self.caller.start(for_ever) for _ in range(5)]
        await self.runtime.close()
        assert all([(await future).error for future in futures])
        assert len(self.caller.answers) == 5
